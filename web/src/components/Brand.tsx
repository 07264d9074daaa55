/** Two persons, near each other. */
export function Brand() {
  return (
    <svg className="brand-mark" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
      <circle className="brand-self" cx="11.5" cy="16" r="9.5" />
      <circle className="brand-other" cx="20.5" cy="16" r="9.5" />
    </svg>
  );
}
