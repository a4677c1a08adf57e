#!/usr/bin/env bash
# From a checkpoint to the table's numbers: fine-tunes on MetaMathQA as the configuration says, then
# scores GSM8K and MATH with the same prompt.
#
# Usage: run.sh CONFIG MODEL DATA GSM8K MATH OUT [flags of `bone train`]
#
#   CONFIG  llama2-7b-bone, llama2-7b-miss, rwkv6-7b-bone or rwkv6-7b-miss: a file of this folder
#   MODEL   a Hugging Face folder of LLaMA2-7B; RWKV's .pth of the 7B with its vocabulary beside it
#   DATA    MetaMathQA-395K: .json, .jsonl or .parquet, compressed or not
#   GSM8K   GSM8K's test rows, question and answer
#   MATH    MATH's test rows, problem and solution
#   OUT     folder for everything, new or empty. Started again, what is done is not done again, and
#           a run that was stopped while it answered questions goes on with the next, one that was
#           stopped while it trained from its newest checkpoint.
#
# BONE names the program; without it that is `bone` from the PATH, else what cargo builds here.
# EVAL has flags for `bone eval`, such as --batch-size 64.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ $# -lt 6 ]]; then
    sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
config=$1 model=$2 data=$3 gsm8k=$4 math=$5 out=$6
shift 6

if [[ ! -f $here/$config.toml ]]; then
    echo "there is no $config.toml in $here; there are:" >&2
    (cd "$here" && ls ./*.toml) >&2
    exit 2
fi

if [[ -n ${BONE:-} ]]; then
    bone=("$BONE")
elif command -v bone >/dev/null; then
    bone=(bone)
else
    bone=(cargo run --release --manifest-path "$here/../../Cargo.toml" --)
fi

if [[ -f $out/train/finished.json ]]; then
    echo "$out/train has a trained adapter"
elif compgen -G "$out/train/checkpoints/step-*/complete.json" >/dev/null; then
    "${bone[@]}" train --resume "$out/train"
else
    "${bone[@]}" train "$here/$config.toml" --template "$here/${config%%-*}.template" \
        --model "$model" --data "$data" --out "$out/train" "$@"
fi
for task in gsm8k math; do
    if [[ -f $out/$task.json ]]; then
        # Its summary: questions, right answers, accuracy, standard error.
        echo "$task, from $out/$task.json:"
        sed -n '/^  "summary"/,/"standard_error"/p' "$out/$task.json" | sed '1d'
    else
        # The template is the one that training left in the adapter's folder, the rule the paper's.
        # shellcheck disable=SC2086
        "${bone[@]}" eval "$task" --model "$model" --adapter "$out/train" \
            --data "${!task}" --out "$out/$task.json" --rule metamath ${EVAL:-}
    fi
done
