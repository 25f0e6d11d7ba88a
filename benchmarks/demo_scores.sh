#!/usr/bin/env bash
# Take every score of docs/demonstration.md again, two at a time, and keep what each command prints in a folder:
#
#     benchmarks/demo_scores.sh FOLDER [FIRST_SEED]
#
# The package that is installed is scored: for another training of the demonstration model, run it in a
# checkout that holds its files.
set -euo pipefail
folder=$(realpath -m "$1")
first=${2:-8000000}
cd "$(dirname "$0")/.."
mkdir -p "$folder"
export OMP_NUM_THREADS=1 FOLDER="$folder"
xargs -P 2 -L 1 sh -c 'name=$1; shift; python benchmarks/"$@" > "$FOLDER/$name.txt"' measure <<LIST
boxes demo_boxes.py --number 15 --first $first
chests demo_model.py ct --number 24 --first $first
chests-without demo_model.py ct --number 24 --first $first --adapter none
evidence demo_evidence.py --number 18 --first $first
scenes demo_model.py scene --number 30 --first $first
scenes-without demo_model.py scene --number 30 --first $first --adapter none
slides demo_model.py slide --number 20 --first $first
slides-without demo_model.py slide --number 20 --first $first --adapter none
LIST
