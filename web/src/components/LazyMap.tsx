import { ArrowDown } from 'lucide-react';
import { Component, lazy, Suspense, type ReactNode } from 'react';
import type { MapViewProps } from '../map/MapView';
import { text } from '../text';
import { ErrorState } from './states';

const MapView = lazy(() => import('../map/MapView'));

/** Keeps a map that cannot be loaded from taking the view with it. */
class Guard extends Component<{ children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  override render() {
    if (!this.state.failed) return this.props.children;
    return (
      <ErrorState
        title={text.map.failed}
        onRetry={() => {
          window.location.reload();
        }}
      />
    );
  }
}

/** The map, which is loaded when it is first needed; its room is kept free until then. */
export function LazyMap(props: MapViewProps) {
  return (
    <div className="map-frame">
      <Guard>
        <Suspense fallback={<p className="map-loading">{text.map.loading}</p>}>
          <MapView {...props} />
        </Suspense>
      </Guard>
    </div>
  );
}

/** From the map to the row of the list that was tapped. */
export function BackToList({ onBack }: { onBack: () => void }) {
  return (
    <p className="back-to-list">
      <button type="button" className="button quiet" onClick={onBack}>
        <ArrowDown aria-hidden="true" /> {text.map.backToList}
      </button>
    </p>
  );
}
