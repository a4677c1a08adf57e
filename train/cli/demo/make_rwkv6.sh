#!/usr/bin/env bash
# Makes the RWKV6 that `bone demo` starts from: 400,000 parameters, trained from random weights by
# full training on the rows that its LLaMA is trained on. Takes about four minutes on two cores.
#
# Usage: train/cli/demo/make_rwkv6.sh OUT
#
# OUT/model/model.safetensors is the file committed beside this script as rwkv6/model.safetensors;
# the same build on the same processor makes it bit for bit, another one with other last digits.
set -euo pipefail
out=${1:?usage: make_rwkv6.sh OUT}
cd "$(dirname "$0")/../.."

mkdir -p "$out/start"
cp train/cli/demo/rwkv6/config.json train/cli/demo/tokenizer.json "$out/start"
cargo run --release -p bone-cli --example demo_rows >"$out/rows.jsonl"
cargo run --release -- train \
    --model "$out/start" --init random --method full \
    --data "$out/rows.jsonl" --template plain \
    --out "$out/run" \
    --batch-size 64 --max-seq-len 48 --epochs 60 \
    --learning-rate 1e-3 --warmup-steps 100 --validation 0 \
    --recompute false --chunked-head false
mv "$out/run/model" "$out/model"
