#!/usr/bin/env bash
# Make or complete .venv: tools/dev/make_venv.sh [EXTRA ...], e.g. "dev". Called by the Makefile.
#
# The stamp in .venv holds a hash of everything that decides what is installed; while it matches, nothing is done.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly VENV=.venv
readonly STAMP=$VENV/.lt_plugins_stamp
readonly WHEELS=../shared/wheels

die() { echo "error: $1" >&2; exit 1; }

# Runs, is in range, and can make environments (Debian packages venv apart).
suits() { "$1" -c 'import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' &>/dev/null; }

find_python() {
    if [[ -n ${PYTHON:-} ]]; then
        suits "$PYTHON" || die "PYTHON=$PYTHON is no Python 3.10-3.12 with the venv module; name another one"
        echo "$PYTHON"
        return
    fi
    local candidate
    for candidate in python3.11 python3.12 python3.10 python3 python \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[0-2].*/bin/python; do
        if suits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    die "found no Python 3.10-3.12 with the venv module; install one (Debian: apt install python3-venv) or: make PYTHON=/path/to/python"
}

works() { "$VENV/bin/python" -c "import $1" &>/dev/null; }

create() {
    local python
    python=$(find_python)
    echo "making $VENV with $("$python" --version)"
    rm -rf "$VENV"
    "$python" -m venv "$VENV"
}

install() {
    # faiss-cpu and faiss-gpu-cu12 overwrite each other's files: the other one must go first.
    if "$VENV/bin/python" -m pip show --quiet "$other_faiss" &>/dev/null; then
        "$VENV/bin/python" -m pip uninstall --yes faiss-cpu faiss-gpu-cu12
    fi
    local options=(--constraint requirements/constraints.txt)
    [[ -d $WHEELS ]] && options+=(--find-links "$WHEELS")
    "$VENV/bin/python" -m pip install "${options[@]}" --editable ".[$1]" || return
    [[ ",$1," != *,det,* ]] || works mmcv._ext || install_ops
}

# onedl-mmcv with and without its compiled operators is the same distribution and version, so that pip takes the one
# without, which classification needs, for installed.
install_ops() {
    local mmcv options=(--force-reinstall --no-deps)
    mmcv=$(grep '^onedl-mmcv==' requirements/constraints.txt)
    local find_links=()
    [[ -d $WHEELS ]] && find_links=(--find-links "$WHEELS")
    "$VENV/bin/python" -m pip install "${options[@]}" --only-binary :all: --no-index "${find_links[@]}" "$mmcv" || true
    if ! works mmcv._ext; then
        echo "no prebuilt $mmcv for this Python and torch: compiling its operators, which takes some 17 minutes on two cores"
        "$VENV/bin/python" -m pip install 'setuptools>=80,<82' ninja psutil
        "$VENV/bin/python" -m pip install "${options[@]}" --no-build-isolation --no-cache-dir --no-binary onedl-mmcv "$mmcv"
        works mmcv._ext || die "$mmcv was built without its operators; it needs a C++ compiler (docs/installation.md)"
    fi
}

if nvidia-smi --list-gpus &>/dev/null; then
    faiss=gpu other_faiss=faiss-cpu
else
    faiss=cpu other_faiss=faiss-gpu-cu12
fi

# The environment keeps the extras of earlier calls, so that `make demo` after `make test` changes nothing.
extras=$( (printf '%s\n' "$faiss" "$@"; sed -n 's/^extra //p' "$STAMP" 2>/dev/null | grep -vxE 'cpu|gpu' || true) | sort -u)
stamp="hash $(cat setup.py requirements/constraints.txt "$0" | cksum | cut -d' ' -f1) $PWD
$(sed 's/^/extra /' <<<"$extras")"
if [[ -f $STAMP && $stamp == "$(<"$STAMP")" ]] && works sys; then
    exit 0
fi

works "sys, pip; assert (3, 10) <= sys.version_info[:2] <= (3, 12)" || create
# A half-made environment can hold broken packages that pip takes for installed: then one made afresh must do.
extra_list=$(paste -sd, <<<"$extras")
stack="torch, torchvision, mmpretrain, scipy, sklearn, matplotlib, tensorboard"
[[ ",$extra_list," != *,det,* ]] || stack+=", mmdet, mmcv._ext"
if ! { install "$extra_list" && works "$stack"; }; then
    [[ -f $STAMP ]] || { echo "the environment is broken: making it afresh"; create; }
    install "$extra_list"
    "$VENV/bin/python" -c "import $stack"
fi
echo "$stamp" >"$STAMP"
