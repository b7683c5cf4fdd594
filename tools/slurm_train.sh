#!/usr/bin/env bash
# Train under Slurm: tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of train.py]
# GPUS (8) processes in all, GPUS_PER_NODE (8), CPUS_PER_TASK (5); further options of srun in SRUN_ARGS.
set -euo pipefail
if [ $# -lt 4 ]; then sed -n 2p "$0" >&2; exit 1; fi

ROOT=$(cd "$(dirname "$0")/.." && pwd)
read -r -a SRUN_OPTIONS <<< "${SRUN_ARGS:-}"
PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}" exec srun --partition "$1" --job-name "$2" \
    --ntasks "${GPUS:-8}" --ntasks-per-node "${GPUS_PER_NODE:-8}" --gres "gpu:${GPUS_PER_NODE:-8}" \
    --cpus-per-task "${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 "${SRUN_OPTIONS[@]}" \
    "${PYTHON:-python}" -u "$ROOT/tools/train.py" "$3" --work-dir "$4" --launcher slurm "${@:5}"
