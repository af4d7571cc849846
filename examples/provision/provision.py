#!/usr/bin/env python3
"""Puts the people of a CSV file into an account, or takes them out of it.

    provision.py provision people.csv [--dry-run]
    provision.py deprovision people.csv [--dry-run]

It needs Python 3.9 and nothing else. LATCHKEY_URL, LATCHKEY_ACCOUNT (a UUID)
and LATCHKEY_TOKEN come from the environment. The exit status is 0 when all is
done, 1 when rows or the request failed, 2 for wrong use. Running it again is
safe: what is done is UNCHANGED.
"""

import csv
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request

BATCH = 1000  # the most that one request takes

QUERY = """mutation($input: %s!) { account { result: %s(input: $input) {
  items { email action field code message %s }
  counts { created updated added unchanged removed failed } } } }"""

QUERIES = {
    "provision": QUERY % ("ProvisionUsersInput", "provisionUsers", ""),
    "deprovision": QUERY % ("DeprovisionUsersInput", "deprovisionUsers", "apiTokensToReview { id name }"),
}

SEES_TOKENS = "account_api_tokens_read"  # the scope that apiTokensToReview takes

COLUMNS = {  # of the file, as the API calls them
    "email": "email", "first_name": "firstName", "last_name": "lastName", "locale": "locale",
    "external_id": "externalId", "stores": "stores", "role": "role",
}


class Refused(RuntimeError):
    """What the API refuses, with the scopes that the token lacks."""

    def __init__(self, errors):
        self.scopes = {scope for error in errors for scope in error.get("extensions", {}).get("requiredScopes") or []}
        super().__init__("; ".join(map(reason, errors)))


def reason(error):
    """One of the API's errors, with the field it is about and the scopes it takes."""
    more = error.get("extensions", {})
    needs = f" It needs {' and '.join(more['requiredScopes'])}." if more.get("requiredScopes") else ""
    return ": ".join(filter(None, [more.get("field"), error["message"]])) + needs


# An apostrophe before a formula, which Latchkey's exports and spreadsheets add so that none is evaluated.
ESCAPE = re.compile(r"(?:(?<=[;\t\r\n])|^)'(?='*[=+\-@\t\r＝＋－＠])")


def delimiter(head):
    """The character between the titles: spreadsheets write semicolons where the comma separates decimals."""
    bare = re.sub(r'"[^"]*"', "", head)
    return ";" if bare.count(";") > bare.count(",") else ","


def people(path, fail):
    """Yields the people of the file. Empty cells and rows are left out. A row that is wrong is handed to fail."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        between = delimiter(file.readline())
        file.seek(0)
        rows = csv.DictReader(file, strict=True, delimiter=between)
        unknown = set(rows.fieldnames or []) - set(COLUMNS)
        if unknown or "email" not in (rows.fieldnames or []):
            raise ValueError(f"the columns are {','.join(COLUMNS)}, email among them; not {', '.join(sorted(unknown))}")
        for row in rows:
            if not any(cell.strip() for cell in row.values() if isinstance(cell, str)):
                continue
            if None in row or None in row.values():
                fail({"email": f"line {rows.line_num}", "code": "INVALID", "message": "The row has not as many cells as the first line."})
                continue
            cells = {column: ESCAPE.sub("", cell.strip()) for column, cell in row.items()}
            person = {COLUMNS[column]: cell for column, cell in cells.items() if cell or column == "email"}
            if "stores" in person:
                person["stores"] = [store.strip() for store in person["stores"].split(";") if store.strip()]
            if "role" in person:  # Sales Staff is SALES_STAFF
                person["role"] = "_".join(person["role"].upper().replace("_", " ").split())
            yield person


def batches(items):
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def ask(query, variables):
    """Posts a query, again while the server is busy or away, and returns its data."""
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
                # What the API refuses, it explains in the same form as ever.
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
    """Sends a batch. A token that may not see API tokens removes people all the same."""
    try:
        return ask(QUERIES[mode], {"input": {"users": users, "dryRun": dry_run}})["account"]["result"]
    except Refused as refused:
        if mode == "provision" or SEES_TOKENS not in refused.scopes or "apiTokensToReview" not in QUERIES[mode]:
            raise
    print(f"the API tokens to review are not listed: the token lacks {SEES_TOKENS}, which shows them", file=sys.stderr)
    QUERIES[mode] = QUERIES[mode].replace("apiTokensToReview { id name }", "")
    return send(mode, users, dry_run)


def main(arguments):
    dry_run = "--dry-run" in arguments
    words = [word for word in arguments if word != "--dry-run"]
    missing = [name for name in ("LATCHKEY_URL", "LATCHKEY_ACCOUNT", "LATCHKEY_TOKEN") if not os.environ.get(name)]
    if len(words) != 2 or words[0] not in QUERIES or missing:
        print(f"set {', '.join(missing)}" if missing else __doc__, file=sys.stderr)
        return 2
    mode, path = words
    counts = dict.fromkeys(("created", "updated", "added", "unchanged", "removed", "failed"), 0)

    def failed(item):
        print(": ".join(filter(None, [item["email"], item.get("field"), item["message"]])), f"({item['code']})", file=sys.stderr)

    def ragged(item):
        counts["failed"] += 1
        failed(item)

    try:
        for batch in batches(people(path, ragged)):
            if mode == "deprovision":
                batch = [{"email": person["email"]} for person in batch]
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
    finally:  # what is done is done, whatever stopped the rest
        print(", ".join(f"{number} {action}" for action, number in counts.items()) if any(counts.values()) else "nothing done")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
