#!/usr/bin/env bash
# Fine-tunes RWKV6 with Bone as the seed of the method does: rank 64 on the five layers of the time
# mix and the three of the channel mix, block axis input, learning rate 2e-5 throughout, 512 tokens,
# one epoch. Layers, widths and heads are read off the weights.
#
# Usage: run_bone.sh MODEL DATA OUT [flags of `bone train`]
#
#   MODEL  RWKV's .pth or .safetensors, for example RWKV-x060-World-7B-v3-20241112-ctx4096.pth, with
#          rwkv_vocab_v20230424.txt beside it
#   DATA   training rows with the fields query and response, for example MetaMathQA-395K.json
#   OUT    folder for the result, new or empty
#
# The three may be environment variables of these names instead. Flags win over the settings in
# examples/metamath/rwkv6-7b-bone.toml: `--method miss` is the cheaper adapter. BONE names the
# program; without it that is `bone` from the PATH, else what cargo builds here.
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

exec "${bone[@]}" train "$configs/rwkv6-7b-bone.toml" \
    --template "$configs/rwkv6.template" \
    --model "$MODEL" --data "$DATA" --out "$OUT" "$@"
