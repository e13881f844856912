#!/usr/bin/env bash
# Makes the virtual environment and hands over to what runs in it; nothing about the proxy itself belongs here.
#
#   ./run.sh ARGUMENT ...          ai-proxy ARGUMENT ...; without any, it starts the proxy
#   ./run.sh test [ARGUMENT ...]   the tests; the arguments go to pytest
#   ./run.sh test unit [ARGUMENT ...]
#                                  the unit tests: all but tests/e2e, tests/sdk, tests/plugin, tests/bench, tests/hostile
#                                  and those marked as programs, which start processes or servers
#   ./run.sh lint                  ruff and mypy
#   ./run.sh bench [ARGUMENT ...]  what the addon costs; the arguments go to tests/bench/bench.py
#
# Environment:
#   PYTHON  the interpreter; by default that of the environment in place, else the newest one found
#   VENV    the folder of the environment, by default .venv; a relative one lies in the repository
# Packages are installed by uv where PATH has it, else by pip.

set -euo pipefail

say() { printf 'run.sh: %s\n' "$*" >&2; }

fail() {
  say "$@"
  exit 1
}

repository() {
  local path=${BASH_SOURCE[0]} target
  while [[ -L $path ]]; do
    target=$(readlink -- "$path")
    [[ $target == /* ]] || target=$(dirname -- "$path")/$target
    path=$target
  done
  CDPATH='' cd -- "$(dirname -- "$path")" && pwd -P
}

root=$(repository)
venv=${VENV:-.venv}
[[ $venv == /* ]] || venv=$root/$venv
# The mark is the first file in the folder and the stamp the last: a mark alone is an interrupted installation.
mark=$venv/.made-by-run.sh
stamp=$venv/.installed-by-run.sh
readonly root venv mark stamp

# --- The interpreter ------------------------------------------------------------------------------------------

# Prints the version of an interpreter that can make an environment; fails without a word for any other.
version_of() {
  "$1" -I -c '
import ensurepip, sys, sysconfig, venv
version = sys.version_info
if sys.implementation.name != "cpython" or version < (3, 11) or version.releaselevel != "final":
    sys.exit(1)
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit(1)
print("%d.%d.%d" % version[:3])
' </dev/null 2>/dev/null
}

# The interpreter that one in a virtual environment is made from: the environment may be the very one to replace.
base_of() {
  "$1" -I -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))' </dev/null
}

# Every folder of PATH is looked into: a shim that cannot run must not hide the interpreter behind it.
candidates() {
  local folders folder path
  IFS=: read -ra folders <<<"$PATH"
  for folder in "${folders[@]}"; do
    for path in "$folder"/python3 "$folder"/python3.*; do
      [[ ${path##*/} =~ ^python3(\.[0-9]+)?$ ]] && printf '%s\n' "$path"
    done
  done
  printf '%s\n' "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/*/bin/python3
}

newest_python() {
  local path version rank best='' best_rank=''
  while IFS= read -r path; do
    [[ -x $path ]] && version=$(version_of "$path") || continue
    # shellcheck disable=SC2086  # three numbers
    rank=$(printf '%04d%04d%04d' ${version//./ })
    if [[ $rank > $best_rank ]]; then
      best=$path best_rank=$rank
    fi
  done < <(candidates)
  [[ $best ]] && printf '%s\n' "$best"
}

# --- The environment ------------------------------------------------------------------------------------------

# What the environment is, as the first two lines of its stamp have it; a third says whether it holds the packages.
# Fails if its interpreter does not run, or runs as that of another environment.
inspect() {
  "$venv/bin/python" -I -c '
import hashlib, os, pathlib, sys
from importlib.util import find_spec
root, venv = sys.argv[1:]
if not os.path.samefile(sys.prefix, venv):
    sys.exit(1)
specs = [find_spec(name) for name in ("mitmproxy", "mitm_ai_proxy")]
print("python", "%d.%d.%d" % sys.version_info[:3], venv)
print("project", hashlib.sha256(pathlib.Path(root, "pyproject.toml").read_bytes()).hexdigest(), root)
print("whole" if all(spec and spec.origin for spec in specs) else "bare")
' "$root" "$venv" </dev/null 2>/dev/null
}

# Reads what is into is_python, is_project, is_whole, and what the stamp says into was_python, was_project, was_extras.
look() {
  is_python='' is_project='' is_whole='' was_python='' was_project='' was_extras=''
  if [[ -f $stamp ]]; then
    { IFS= read -r was_python && IFS= read -r was_project && IFS= read -r was_extras; } <"$stamp" || true
  fi
  if [[ -x $venv/bin/python ]]; then
    { IFS= read -r is_python && IFS= read -r is_project && IFS= read -r is_whole; } < <(inspect) || true
  fi
  [[ ! $wanted || ! $is_python || $is_python == "python $wanted "* ]] || is_python=other
}

# Whether all that is asked for (the names of extras) is installed.
ready() {
  local extra
  [[ $is_python && $is_python == "$was_python" && $is_project == "$was_project" && $is_whole == whole ]] || return 1
  [[ -x $venv/bin/ai-proxy ]] || return 1
  for extra in "$@"; do
    [[ " $was_extras " == *" $extra "* ]] || return 1
  done
}

# Whether the environment can be installed into: ours and in order, or somebody's own that works.
sound() {
  if [[ -e $mark ]]; then
    [[ $is_python && $is_python == "$was_python" && $is_whole == whole && -x $venv/bin/ai-proxy ]]
  else
    [[ $is_python && $is_python != other ]] && version_of "$venv/bin/python" >/dev/null &&
      "$venv/bin/python" -I -m pip --version </dev/null >/dev/null 2>&1
  fi
}

# Runs a command without its output, which is shown if the command fails.
quietly() {
  local output
  if ! output=$("$@" </dev/null 2>&1); then
    printf '%s\n' "$output" >&2
    return 1
  fi
}

# Makes the environment anew, in place of one of ours or a broken one; what works and is not ours is left alone.
create() {
  local python=${PYTHON:-}
  if [[ ! $python ]]; then
    python=$(newest_python) ||
      fail 'no CPython 3.11 or later with the modules venv and ensurepip found; install one (Debian: python3-venv) or set PYTHON'
  fi
  python=$(base_of "$python")
  if [[ -e $venv || -L $venv ]]; then
    [[ -e $mark || (-e $venv/pyvenv.cfg && ! $is_python) ]] || rmdir -- "$venv" 2>/dev/null ||
      fail "$venv is not an environment that can be used or replaced; remove it or set VENV"
    rm -rf -- "$venv"
  fi
  mkdir -p -- "$venv"
  : >"$mark"
  quietly "$python" -m venv "$venv" || fail "$python could not make a virtual environment in $venv"
}

# Installs the checkout with the extras named.
install() {
  local extra extras what version
  look
  extras=$*
  # What was asked for earlier stays on the list as long as it is up to date.
  if [[ $is_project == "$was_project" ]]; then
    for extra in $was_extras; do
      [[ " $extras " == *" $extra "* ]] || extras="${extras:+$extras }$extra"
    done
  fi
  version=${is_python#python }
  what=${extras:+[${extras// /,}]}
  say "installing mitm-ai-proxy$what into ${venv#"$root"/} (Python ${version%% *})"
  rm -f -- "$stamp"
  cd -- "$root"
  # uv takes a tenth of pip's time, but has a configuration of its own: where it fails, pip does it.
  { command -v uv >/dev/null && uv pip install --quiet --python "$venv/bin/python" -e ".$what" </dev/null 2>/dev/null; } ||
    quietly "$venv/bin/python" -I -m pip install --disable-pip-version-check --no-input -e ".$what" ||
    fail 'the installation failed'
  printf '%s\n' "$is_python" "$is_project" "$extras" >"$stamp.new"
  mv -f -- "$stamp.new" "$stamp"
}

# Brings the environment into the state asked for: nothing to do on most starts, and then nothing is written or locked.
prepare() {
  local wanted=''
  local is_python is_project is_whole was_python was_project was_extras
  if [[ ${PYTHON:-} ]]; then
    wanted=$(version_of "$PYTHON") || fail "PYTHON=$PYTHON is not a CPython 3.11 or later with the modules venv and ensurepip"
  fi
  look
  ready "$@" && return
  (
    # The lock lies on the repository's folder, and goes with this subshell and all it started.
    if command -v flock >/dev/null && exec 9<"$root" && ! flock -n 9; then
      say 'waiting for another run.sh that is installing'
      flock 9 || true
    fi
    look
    if ! ready "$@"; then
      sound || create
      install "$@"
    fi
  )
}

# --- What to run ----------------------------------------------------------------------------------------------

export AI_PROXY_HOME=$root

case ${1-start} in
  test)
    shift
    if [[ ${1-} == unit ]]; then
      shift
      set -- --ignore=tests/e2e --ignore=tests/sdk --ignore=tests/plugin --ignore=tests/bench --ignore=tests/hostile \
        -m 'not programs' "$@"
    fi
    prepare test
    cd -- "$root"
    # A process keeps to its share of the files as long as it has one: what tests share is started once, not in each.
    exec "$venv/bin/python" -m pytest -n auto --dist worksteal "$@"
    ;;
  lint)
    prepare lint test # mypy wants the types of pytest
    cd -- "$root"
    status=0
    "$venv/bin/ruff" check . || status=1
    "$venv/bin/ruff" format --check . || status=1
    "$venv/bin/python" -m mypy || status=1
    exit "$status"
    ;;
  bench)
    shift
    prepare
    cd -- "$root"
    exec "$venv/bin/python" tests/bench/bench.py "$@"
    ;;
  *)
    extras=()
    if [[ ${1-} == platform ]]; then
      extras=(platform ${REDIS_URL:+redis} ${DATABASE_URL:+postgres})
    fi
    prepare "${extras[@]}"
    # The name under which the command speaks of itself.
    AI_PROXY_NAME=$0
    [[ $0 == */* ]] || AI_PROXY_NAME=./$0
    export AI_PROXY_NAME
    exec "$venv/bin/ai-proxy" "$@"
    ;;
esac
