#!/usr/bin/env bash
# Makes the LLaMA that `bone demo` starts from: 600,000 parameters, trained from random weights by
# full training on sums and on numbers in words. Takes about ten minutes on two cores.
#
# Usage: train/cli/demo/make_llama2.sh OUT
#
# OUT/model/model.safetensors is the file committed beside this script as llama2/model.safetensors;
# the same build on the same processor makes it bit for bit, another one with other last digits.
set -euo pipefail
out=${1:?usage: make_llama2.sh OUT}
cd "$(dirname "$0")/../.."

mkdir -p "$out/start"
cp train/cli/demo/llama2/config.json train/cli/demo/tokenizer.json "$out/start"
cargo run --release -p bone-cli --example demo_rows >"$out/rows.jsonl"
cargo run --release -- train \
    --model "$out/start" --init random --method full \
    --data "$out/rows.jsonl" --template plain \
    --out "$out/run" \
    --batch-size 64 --max-seq-len 48 --epochs 30 \
    --learning-rate 1e-3 --warmup-steps 100 --validation 0 \
    --recompute false --chunked-head false
mv "$out/run/model" "$out/model"
