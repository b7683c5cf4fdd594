#!/usr/bin/env bash
# Train with several processes: tools/dist_train.sh CONFIG PROCESSES [options of train.py]
# On several machines run it on each one with NNODES, NODE_RANK, MASTER_ADDR and PORT set; PYTHON chooses the interpreter.
set -euo pipefail
if [ $# -lt 2 ]; then sed -n 2p "$0" >&2; exit 1; fi

ROOT=$(cd "$(dirname "$0")/.." && pwd)
if [ "${NNODES:-1}" = 1 ]; then
    RENDEZVOUS=(--standalone)
else
    RENDEZVOUS=(--nnodes "$NNODES" --node-rank "$NODE_RANK" --master-addr "$MASTER_ADDR" --master-port "${PORT:-29500}")
fi
LT_PLUGINS_COMMAND="$(printf '%q ' "$0" "$@")" PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python}" "$ROOT/tools/dist_run.py" \
    "${RENDEZVOUS[@]}" --nproc-per-node "$2" "$ROOT/tools/train.py" "$1" --launcher pytorch "${@:3}"
