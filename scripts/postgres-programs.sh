# shellcheck shell=bash
# Finds PostgreSQL's programs, with PostGIS, or installs them. Sourced by postgres.sh.

OLDEST=14 # PostgreSQL major version

major_of() { "$1/postgres" --version 2>/dev/null | sed -E 's/^[^0-9]*([0-9]+).*/\1/'; }

# Every installed PostgreSQL, newest first.
installed() {
  local bin
  {
    for bin in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin; do
      echo "$bin"
    done
    if have initdb; then dirname "$(command -v initdb)"; fi
    if have pg_config; then pg_config --bindir; fi
  } | while read -r bin; do
    if [ -x "$bin/initdb" ] && [ -x "$bin/postgres" ]; then echo "$(major_of "$bin") $bin"; fi
  done | sort -s -rn -k1,1
}

has_postgis() {
  local share
  if [ -x "$1/pg_config" ]; then share=$("$1/pg_config" --sharedir); else share=/usr/share/postgresql/$(major_of "$1"); fi
  [ -f "$share/extension/postgis.control" ]
}

# find_bin [MAJOR]: a PostgreSQL that is new enough and has PostGIS; of that MAJOR if given, since data belong to one.
# shellcheck disable=SC2120
find_bin() {
  local major bin
  while read -r major bin; do
    if [ -n "$major" ] && [ "$major" -ge "$OLDEST" ] && [ "${1:-$major}" = "$major" ] && has_postgis "$bin"; then
      echo "$bin"
      return 0
    fi
  done <<<"$(installed)"
  return 1
}

# Prints the names of the packages to install: PostGIS for what is here, otherwise the distribution's own version of both.
packages() {
  local major bin
  while read -r major bin; do
    if [ -n "$major" ] && [ "$major" -ge "$OLDEST" ] && apt_has "postgresql-$major-postgis-3"; then
      echo "postgresql-$major-postgis-3"
      return
    fi
  done <<<"$(installed)"
  major=$(apt-cache depends postgresql 2>/dev/null | sed -n -E 's/.*Depends: postgresql-([0-9]+)$/\1/p' | awk 'NR == 1')
  [ -n "$major" ] || die "apt knows no package postgresql; add your distribution's main repository"
  [ "$major" -ge "$OLDEST" ] || die "the distribution's PostgreSQL $major is too old; $OLDEST or newer is needed (see https://www.postgresql.org/download/)"
  apt_has "postgresql-$major-postgis-3" || die "apt knows no package postgresql-$major-postgis-3; on Ubuntu enable 'universe'"
  echo "postgresql postgresql-$major-postgis-3"
}

install() {
  local list drop=/etc/postgresql-common/createcluster.d/udaconnect-dev.conf status=0
  # shellcheck disable=SC2119
  if find_bin >/dev/null; then return 0; fi
  if ! can_apt; then
    warn "PostgreSQL ($OLDEST or newer) with PostGIS is missing. Please install it:"
    case $(uname -s) in
      Darwin) warn "  brew install postgresql@17 postgis" ;;
      *) warn "  Fedora: dnf install postgresql-server postgis   Arch: pacman -S postgresql postgis   Alpine: apk add postgresql postgis" ;;
    esac
    warn "or give DATABASE_URL of a PostgreSQL that has PostGIS."
    exit 1
  fi
  apt_update
  list=$(packages)
  # Debian would make and start a cluster of its own on port 5432, which nobody asked for. Only while we install.
  as_root mkdir -p "${drop%/*}"
  echo 'create_main_cluster = false' | as_root tee "$drop" >/dev/null
  # shellcheck disable=SC2086 # a list of names
  apt_install $list || status=$?
  as_root rm -f "$drop"
  [ "$status" = 0 ] || die "could not install $list"
  # shellcheck disable=SC2119
  find_bin >/dev/null || die "PostgreSQL and PostGIS are installed but were not found in /usr/lib/postgresql"
}
