#!/usr/bin/env bash
# Turns a play's text into rows for `bone train`, one a speech: the prompt is the speech before it
# and the speaker's name, the completion what the speaker says.
#
# Usage: shakespeare_rows.sh input.txt > rows.jsonl
#
# The text is as in "tiny shakespeare": speeches are parted by an empty line, and the first line
# of each is the speaker's name and a colon.
set -euo pipefail

if [ $# -ne 1 ]; then
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi

awk '
    function json(text) {
        gsub(/\\/, "&&", text)
        gsub(/"/, "\\\"", text)
        gsub(/\t/, "\\t", text)
        gsub(/\r/, "", text)
        gsub(/\n/, "\\n", text)
        return "\"" text "\""
    }
    BEGIN { RS = "" }
    {
        # Split at the first line; a speech without a speaker parts two scenes.
        end = index($0, ":\n")
        if (end == 0) { before = ""; next }
        speaker = substr($0, 1, end + 1)
        speech = substr($0, end + 2)
        if (before != "")
            printf "{\"prompt\": %s, \"completion\": %s}\n", \
                json(before "\n\n" speaker), json(speech)
        before = $0
    }
' "$1"
