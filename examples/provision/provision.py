#!/usr/bin/env python3
"""Adds the users of a CSV file to an account, or removes them.

    provision.py provision users.csv [--dry-run]
    provision.py deprovision users.csv [--dry-run]

It needs only Python 3.9. LATCHKEY_URL, LATCHKEY_ACCOUNT (a UUID)
and LATCHKEY_TOKEN come from the environment. The exit status is 0 for
success, 1 if rows or the request failed, 2 for wrong usage. Running it again is
safe: what is saved already is UNCHANGED.
"""

import csv
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request

BATCH = 1000  # the maximum for one request

QUERY = """mutation($input: %s!) { account { result: %s(input: $input) {
  items { email action field code message %s }
  counts { created updated added unchanged removed failed } } } }"""

QUERIES = {
    "provision": QUERY % ("ProvisionUsersInput", "provisionUsers", ""),
    "deprovision": QUERY % ("DeprovisionUsersInput", "deprovisionUsers", "apiTokensToReview { id name }"),
}

TOKENS_SCOPE = "account_api_tokens_read"  # the scope that apiTokensToReview requires

COLUMNS = {  # of the file, with their names in the API
    "email": "email", "first_name": "firstName", "last_name": "lastName", "locale": "locale",
    "external_id": "externalId", "stores": "stores", "role": "role",
}


class Refused(RuntimeError):
    """An error of the API, with the scopes that the token lacks."""

    def __init__(self, errors):
        self.scopes = {scope for error in errors for scope in error.get("extensions", {}).get("requiredScopes") or []}
        super().__init__("; ".join(map(reason, errors)))


def reason(error):
    """The text of an error, with its field and the scopes it requires."""
    more = error.get("extensions", {})
    needs = f" It needs {' and '.join(more['requiredScopes'])}." if more.get("requiredScopes") else ""
    return ": ".join(filter(None, [more.get("field"), error["message"]])) + needs


# Exports and spreadsheets insert an apostrophe before a formula so that it is not evaluated.
ESCAPE = re.compile(r"(?:(?<=[;\t\r\n])|^)'(?='*[=+\-@\t\r＝＋－＠])")


def delimiter(head):
    """The separator of the titles. Spreadsheets write semicolons where the comma separates decimals."""
    bare = re.sub(r'"[^"]*"', "", head)
    return ";" if bare.count(";") > bare.count(",") else ","


def read_users(path, fail):
    """Yields the users of the file. Omits empty cells and rows. Passes invalid rows to fail."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        separator = delimiter(file.readline())
        file.seek(0)
        rows = csv.DictReader(file, strict=True, delimiter=separator)
        unknown = set(rows.fieldnames or []) - set(COLUMNS)
        if unknown or "email" not in (rows.fieldnames or []):
            raise ValueError(f"the columns are {','.join(COLUMNS)}, email among them; not {', '.join(sorted(unknown))}")
        for row in rows:
            if not any(cell.strip() for cell in row.values() if isinstance(cell, str)):
                continue
            if None in row or None in row.values():
                fail({"email": f"line {rows.line_num}", "code": "INVALID", "message": "The row and the first line have different numbers of cells."})
                continue
            cells = {column: ESCAPE.sub("", cell.strip()) for column, cell in row.items()}
            user = {COLUMNS[column]: cell for column, cell in cells.items() if cell or column == "email"}
            if "stores" in user:
                user["stores"] = [store.strip() for store in user["stores"].split(";") if store.strip()]
            if "role" in user:  # Sales Staff is SALES_STAFF
                user["role"] = "_".join(user["role"].upper().replace("_", " ").split())
            yield user


def batches(items):
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def post(query, variables):
    """Posts a query, with retries while the server is busy or unreachable, and returns its data."""
    url = f"{os.environ['LATCHKEY_URL'].rstrip('/')}/accounts/{os.environ['LATCHKEY_ACCOUNT']}/graphql"
    request = urllib.request.Request(
        url, json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json", "X-Auth-Token": os.environ["LATCHKEY_TOKEN"]},
    )
    for attempt in range(6):
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                answer = json.load(response)
            break
        except urllib.error.HTTPError as error:
            if error.code not in (429, 502, 503, 504) or attempt == 5:
                # Errors have the same form for every status.
                try:
                    answer = json.loads(error.read())
                except ValueError:
                    answer = None
                if not isinstance(answer, dict) or not answer.get("errors"):
                    raise RuntimeError(f"HTTP {error.code}") from None
                break
            time.sleep(min(int(error.headers.get("Retry-After") or 2**attempt), 60))
        except OSError as error:
            if attempt == 5:
                raise RuntimeError(f"{url}: {error}") from None
            time.sleep(2**attempt)
    if answer.get("errors"):
        raise Refused(answer["errors"])
    return answer["data"]


def send(mode, users, dry_run):
    """Sends a batch. If the token may not list API tokens, sends it without them."""
    try:
        return post(QUERIES[mode], {"input": {"users": users, "dryRun": dry_run}})["account"]["result"]
    except Refused as refused:
        if mode == "provision" or TOKENS_SCOPE not in refused.scopes or "apiTokensToReview" not in QUERIES[mode]:
            raise
    print(f"the API tokens to review are not listed: the token lacks the scope {TOKENS_SCOPE}", file=sys.stderr)
    QUERIES[mode] = QUERIES[mode].replace("apiTokensToReview { id name }", "")
    return send(mode, users, dry_run)


def main(arguments):
    dry_run = "--dry-run" in arguments
    positional = [argument for argument in arguments if argument != "--dry-run"]
    missing = [name for name in ("LATCHKEY_URL", "LATCHKEY_ACCOUNT", "LATCHKEY_TOKEN") if not os.environ.get(name)]
    if len(positional) != 2 or positional[0] not in QUERIES or missing:
        print(f"set {', '.join(missing)}" if missing else __doc__, file=sys.stderr)
        return 2
    mode, path = positional
    counts = dict.fromkeys(("created", "updated", "added", "unchanged", "removed", "failed"), 0)

    def failed(item):
        print(": ".join(filter(None, [item["email"], item.get("field"), item["message"]])), f"({item['code']})", file=sys.stderr)

    def invalid_row(item):
        counts["failed"] += 1
        failed(item)

    try:
        for batch in batches(read_users(path, invalid_row)):
            if mode == "deprovision":
                batch = [{"email": user["email"]} for user in batch]
            result = send(mode, batch, dry_run)
            for action, number in result["counts"].items():
                counts[action] += number
            for item in result["items"]:
                if item["action"] == "FAILED":
                    failed(item)
                elif dry_run and item["action"] != "UNCHANGED":
                    print(item["action"], item["email"])
                for token in item.get("apiTokensToReview", []):
                    print(f"review {token['id']} {token['name']!r}, which {item['email']} knows")
    except (ValueError, RuntimeError, OSError, csv.Error) as error:
        print(f"provision.py: {error}", file=sys.stderr)
        return 1
    finally:  # print the counts, even after an error
        print(", ".join(f"{number} {action}" for action, number in counts.items()) if any(counts.values()) else "nothing done")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
