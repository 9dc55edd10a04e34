# What ci/test and ci/full share: named steps with a limit, their times, and what this machine could not do.
# Sourced by them; the caller sets `self`, the name that starts each line.
# shellcheck shell=bash disable=SC2154

passed=0 failed=0 keep_going=no
began=$SECONDS
results=()       # "RESULT<tab>SECONDS<tab>NAME", in the order of running
running=""       # the process that the step runs in
work=$(mktemp -d)
# Scripts called as steps add "NAME: why" to the one file for what they could not do, and a run inside of another run its
# results to the other.
export CI_NOT_DONE="${CI_NOT_DONE:-$work/not-done}"
touch "$CI_NOT_DONE"
keep_log=no      # whether what a step prints is kept, in $work/log.NUMBER

trap 'rm -rf "$work"' EXIT
trap 'interrupted INT' INT
trap 'interrupted TERM' TERM

# step NAME LIMIT_SECONDS COMMAND…: stops the script at a failure, unless --keep-going was asked for.
step() {
    local name=$1 limit=$2 from=$SECONDS code=0 left took
    shift 2
    left=$((${total_limit:-999999} - (SECONDS - began)))
    if [ "$left" -lt "$limit" ]; then limit=$left; fi
    echo
    echo "$self: $name: $*"
    if [ "$limit" -le 0 ]; then
        code=124
    else
        # In the background, so that a signal ends the wait at once; `timeout` passes it on to all below it.
        if [ "$keep_log" = yes ]; then
            timeout -k 10 "$limit" "$@" > >(tee "$work/log.${#results[@]}") 2>&1 &
        else
            timeout -k 10 "$limit" "$@" &
        fi
        running=$!
        wait "$running" || code=$?
        running=""
    fi
    took=$((SECONDS - from))
    if [ "$code" = 0 ]; then
        passed=$((passed + 1))
        results+=("passed	$took	$name")
        echo "$self: $name: passed in $(spell "$took")"
        return 0
    fi
    failed=$((failed + 1))
    results+=("FAILED	$took	$name")
    if [ "$code" = 124 ] || [ "$code" = 137 ]; then
        echo "$self: $name: FAILED, not done after its limit of $(spell "$limit")"
    else
        echo "$self: $name: FAILED with exit code $code after $(spell "$took")"
    fi
    if [ "$keep_going" = no ]; then
        finish
    fi
}

# not_done NAME WHY: something that this machine cannot do. Under CI=true that is a failure.
not_done() {
    echo "$1: $2" >>"$CI_NOT_DONE"
}

must_have() {
    if [ "${CI-}" = true ]; then
        failed=$((failed + 1))
        results+=("FAILED	0	$1")
        echo "$self: $1: FAILED: $2 (CI=true: nothing may be missing)"
        if [ "$keep_going" = no ]; then
            finish
        fi
    else
        not_done "$1" "$2"
    fi
}

finish() {
    local line missing=0
    echo
    if [ "$failed" -gt 0 ] || [ "${#results[@]}" -gt 1 ]; then
        for line in "${results[@]}"; do
            IFS=$'\t' read -r result took name <<<"$line"
            printf '%s:   %-6s %8s  %s\n' "$self" "$result" "$(spell "$took")" "$name"
        done
    fi
    if [ -s "$CI_NOT_DONE" ]; then
        missing=$(sort -u "$CI_NOT_DONE" | wc -l)
        echo "$self: not done on this machine:"
        sort -u "$CI_NOT_DONE" | sed "s|^|$self:   |"
    else
        echo "$self: nothing was left out"
    fi
    if [ -n "${CI_RESULTS-}" ]; then
        printf '%s\n' "${results[@]}" >"$CI_RESULTS"
    fi
    if declare -F report >/dev/null; then
        report
    fi
    if [ "$failed" -gt 0 ]; then
        echo "$self: FAILED: $(names_of_failed) ($passed steps passed in $(spell $((SECONDS - began))))"
        exit 1
    fi
    echo "$self: $passed steps passed in $(spell $((SECONDS - began)))$([ "$missing" = 0 ] || echo ", $missing not done")"
    exit 0
}

names_of_failed() {
    local line names=""
    for line in "${results[@]}"; do
        case "$line" in FAILED*) names="$names${names:+, }${line##*	}" ;; esac
    done
    echo "$names"
}

spell() {
    if [ "$1" -ge 60 ]; then
        echo "$(($1 / 60)) min $(($1 % 60)) s"
    else
        echo "$1 s"
    fi
}

interrupted() {
    if [ -n "$running" ]; then
        kill -TERM "$running" 2>/dev/null || true
        wait "$running" 2>/dev/null || true
    fi
    echo "$self: stopped by SIG$1"
    trap - "$1"
    kill -"$1" $$
}
