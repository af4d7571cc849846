#!/usr/bin/env bash
# Adds the users of a CSV file to an account, or removes them.
#
#     provision.sh provision users.csv [--dry-run]
#     provision.sh deprovision users.csv [--dry-run]
#
# It needs bash, curl 7.71 and jq 1.6. LATCHKEY_URL, LATCHKEY_ACCOUNT (a UUID) and LATCHKEY_TOKEN come from the
# environment. The exit status is 0 for success, 1 if rows or the request failed, 2 for wrong usage. Running it
# again is safe: what is saved already is UNCHANGED. Cells may be quoted, but must not contain line breaks.
set -euo pipefail

if [[ ! ${1:-} =~ ^(de)?provision$ || $# -lt 2 || ${3:---dry-run} != --dry-run ]]; then
	echo "usage: $0 provision|deprovision users.csv [--dry-run]" >&2
	exit 2
fi
: "${LATCHKEY_URL:?}" "${LATCHKEY_ACCOUNT:?}" "${LATCHKEY_TOKEN:?}"
mode=$1 file=$2
dry_run=$([[ $# -gt 2 ]] && echo true || echo false)

if [[ $mode == provision ]]; then
	input=ProvisionUsersInput mutation=provisionUsers more=
else
	input=DeprovisionUsersInput mutation=deprovisionUsers more='apiTokensToReview { id name }'
fi
query="mutation(\$input: $input!) { account { result: $mutation(input: \$input) {
	items { email action field code message $more }
	counts { created updated added unchanged removed failed } } } }"

# requests prints one request on each line, with 1,000 users at most. It omits empty cells and rows. First it prints the
# invalid rows, in the form of a response.
requests() {
	jq --raw-input --slurp --compact-output --arg query "$query" --arg mode "$mode" --argjson dryRun "$dry_run" '
		def trimmed: sub("^\\s+"; "") | sub("\\s+$"; "");
		# Spreadsheets write semicolons where the comma separates decimals.
		def delimiter: gsub("\"[^\"]*\""; "") | if (split(";") | length) > (split(",") | length) then ";" else "," end;
		# Exports and spreadsheets insert an apostrophe before a formula so that it is not evaluated.
		def unescaped: . as $cell
			| [match("(?:(?<=[;\\t\\r\\n])|\\A)\u0027(?=\u0027*[=+\\-@\\t\\r＝＋－＠])"; "g").offset] as $escapes
			| [range(length)] - $escapes | map($cell[.:. + 1]) | add // "";
		# A delimiter is inserted before the first cell, so that every cell begins with one.
		def cells($separator): [$separator + . | scan($separator + "(\"(?:[^\"]|\"\")*\"|[^" + $separator + "]*)")[0]
			| if startswith("\"") then .[1:-1] | gsub("\"\""; "\"") else . end | trimmed | unescaped];
		{email: "email", first_name: "firstName", last_name: "lastName", locale: "locale",
			external_id: "externalId", stores: "stores", role: "role"} as $columns
		| ltrimstr("\ufeff") | (split("\n")[0] | delimiter) as $separator
		| [split("\n") | to_entries[] | .value |= rtrimstr("\r") | {line: (.key + 1), cells: (.value | cells($separator))}
			| select(.cells | any(. != ""))]
		| .[0].cells as $titles
		| if $titles == null or ($titles - ($columns | keys) != []) or ($titles | index("email") == null)
			then error("the columns are \($columns | keys_unsorted | join(",")), email among them") else . end
		| .[1:] | (map(select((.cells | length) != ($titles | length))) | select(. != []) | {data: {account: {result: {
				items: map({email: "line \(.line)", action: "FAILED", code: "INVALID", message: "The row and the first line have different numbers of cells."}),
				counts: {created: 0, updated: 0, added: 0, unchanged: 0, removed: 0, failed: length}}}}}),
		(map(.cells | select(length == ($titles | length))
			| [$titles, .] | transpose | map(select(.[1] != "" or .[0] == "email") | {($columns[.[0]]): .[1]}) | add
			| if .stores then .stores |= (split(";") | map(trimmed | select(. != ""))) else . end
			| if .role then .role |= (ascii_upcase | [scan("[^\\s_]+")] | join("_")) else . end # Sales Staff is SALES_STAFF
			| if $mode == "deprovision" then {email} else . end)
		| range(0; length; 1000) as $i
		| {$query, variables: {input: {users: .[$i:$i + 1000], $dryRun}}})' "$file"
}

# post sends the request on standard input, with retries while the server is busy or unreachable, and saves the response.
# The token is in a configuration file, since other users of the machine can see the arguments of programs.
post() {
	curl --silent --show-error --retry 5 --retry-connrefused --max-time 60 --header 'Content-Type: application/json' \
		--config <(printf 'header = "X-Auth-Token: %s"\n' "$LATCHKEY_TOKEN") \
		--data-binary @- --output "$work/answer" "${LATCHKEY_URL%/}/accounts/$LATCHKEY_ACCOUNT/graphql"
}

# send saves the response to the request on standard input. If the token may not list API tokens, it repeats the request
# without them.
send() {
	local request
	IFS= read -r request
	if [[ $request == '{"data":'* ]]; then # the invalid rows
		printf '%s\n' "$request" >"$work/answer"
	elif [[ -e $work/without_tokens ]]; then
		post <<<"${request/apiTokensToReview \{ id name \}/}" || return
	else
		post <<<"$request" || return
	fi
	if [[ ! -e $work/without_tokens ]] && jq --exit-status '[.errors[]?.extensions.requiredScopes[]?] | index("account_api_tokens_read")' "$work/answer" >/dev/null 2>&1; then
		echo 'the API tokens to review are not listed: the token lacks the scope account_api_tokens_read' >&2
		touch "$work/without_tokens"
		send <<<"$request"
		return
	fi
	jq --exit-status '.data.account.result' "$work/answer" >/dev/null 2>&1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
requests >"$work/requests" || exit 1
status=0
while IFS= read -r request; do
	# Errors have the same form for every status.
	if ! send <<<"$request"; then
		jq --raw-output '.errors[] | ([.extensions.field // empty, .message] | join(": "))
			+ (.extensions.requiredScopes // [] | if . == [] then "" else " It needs \(join(" and "))." end)' "$work/answer" >&2 || cat "$work/answer" >&2 || true
		status=1
		break
	fi
	cat "$work/answer" >>"$work/answers"
	jq --raw-output '.data.account.result.items[] | select(.action == "FAILED")
		| "\([.email, .field // empty, .message] | join(": ")) (\(.code))"' "$work/answer" >&2
	jq --raw-output --argjson dryRun "$dry_run" '.data.account.result.items[]
		| if $dryRun and ([.action] | inside(["UNCHANGED", "FAILED"]) | not) then "\(.action) \(.email)" else empty end,
			(.email as $email | .apiTokensToReview[]? | "review \(.id) \"\(.name)\", which \($email) knows")' "$work/answer"
done <"$work/requests"

# Print the counts, even after an error.
touch "$work/answers"
jq --raw-output --slurp 'map(.data.account.result.counts) | if . == [] then "nothing done" else
	[(.[0] | keys_unsorted[]) as $action | "\(map(.[$action]) | add) \($action)"] | join(", ") end' "$work/answers"
jq --exit-status --slurp 'map(.data.account.result.counts.failed) | add // 0 | . == 0' "$work/answers" >/dev/null || status=1
exit "$status"
