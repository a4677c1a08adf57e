#!/usr/bin/env bash
# Fine-tunes LLaMA2 with Bone as the paper does: all seven projections, rank 64, learning rate
# 2e-5 with a cosine, 64 rows a step, 512 tokens, one epoch.
#
# Usage: run_bone.sh MODEL DATA OUT [flags of `bone train`]
#
#   MODEL  folder of the model as Hugging Face has it, for example Llama-2-7b-hf
#   DATA   training rows with the fields query and response, for example MetaMathQA-395K.json
#   OUT    folder for the result, new or empty
#
# The three may be environment variables of these names instead. Flags win over the settings in
# examples/metamath/llama2-7b-bone.toml: `--batch-size 16 --gradient-accumulation 4` is faster
# where memory allows. BONE names the program; without it that is `bone` from the PATH, else what
# cargo builds here.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../../..
configs=$here/../../metamath

for name in MODEL DATA OUT; do
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

exec "${bone[@]}" train "$configs/llama2-7b-bone.toml" \
    --template "$configs/llama2.template" \
    --model "$MODEL" --data "$DATA" --out "$OUT" "$@"
