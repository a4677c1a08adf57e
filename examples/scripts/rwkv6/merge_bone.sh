#!/usr/bin/env bash
# Writes a base model and an adapter as one model: safetensors under the names the base has, RWKV's
# own for a .pth.
#
# Usage: merge_bone.sh MODEL ADAPTER OUT [flags of `bone merge`]
#
#   MODEL    the base model, RWKV's .pth or .safetensors
#   ADAPTER  folder of the adapter, or the OUT of run_bone.sh
#   OUT      folder for the merged model, new or empty
#
# The three may be environment variables of these names instead. BONE names the program; without
# it that is `bone` from the PATH, else what cargo builds here.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../../..

for name in MODEL ADAPTER OUT; do
    if [[ -z ${!name:-} ]]; then
        if [[ $# -eq 0 || $1 == -* ]]; then
            sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
            exit 2
        fi
        printf -v "$name" '%s' "$1"
        shift
    fi
done

if [[ -n ${BONE:-} ]]; then
    bone=("$BONE")
elif command -v bone >/dev/null; then
    bone=(bone)
else
    bone=(cargo run --release --manifest-path "$root/Cargo.toml" --)
fi

exec "${bone[@]}" merge --model "$MODEL" --adapter "$ADAPTER" --out "$OUT" "$@"
