#!/usr/bin/env python3
"""Writes all users of an account, with their stores, to standard output as CSV or NDJSON.

It reads the Account API page by page, so that a hundred thousand users take no more memory than 250.

    export_users.py --server https://keys.example.com --account UUID --token-file FILE > users.csv

The file contains an account-level access token with the scopes account_users_read and account_stores_read.
"""

import argparse
import csv
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request

MEMBERSHIPS = """pageInfo { hasNextPage endCursor } edges { node {
    role status permissions lastLoginAt updatedAt store { storeHash name } } }"""
PAGE = """query($filter: UserFilterInput, $after: String) { account { users(first: 250, filter: $filter, after: $after) {
    collectionInfo { totalItems } pageInfo { hasNextPage endCursor }
    edges { node { id email firstName lastName locale externalId createdAt updatedAt stores(first: 10) { %s } } } } } }""" % MEMBERSHIPS
MORE_MEMBERSHIPS = "query($id: ID!, $after: String) { node(id: $id) { ... on User { stores(first: 250, after: $after) { %s } } } }" % MEMBERSHIPS
COLUMNS = ["user_id", "email", "first_name", "last_name", "locale", "external_id", "created_at", "updated_at",
           "store_hash", "store_name", "role", "status", "last_login_at"]
BUSY = (429, 502, 503, 504)
ATTEMPTS = 6


class API:
    """One account's API."""

    def __init__(self, server, account, token):
        self.url = "%s/accounts/%s/graphql" % (server.rstrip("/"), account)
        self.headers = {"Content-Type": "application/json", "X-Auth-Token": token}

    def query(self, text, variables):
        """Returns the data. Retries while the server is busy, since reading is safe to repeat."""
        body = json.dumps({"query": text, "variables": variables}).encode()
        for attempt in range(1, ATTEMPTS + 1):
            pause = 2 ** attempt / 4
            try:
                with urllib.request.urlopen(urllib.request.Request(self.url, body, self.headers), timeout=60) as response:
                    answer = json.load(response)
                break
            except urllib.error.HTTPError as refusal:
                if refusal.code not in BUSY or attempt == ATTEMPTS:
                    sys.exit("export_users: the server answers %d: %s" % (refusal.code, refusal.read().decode(errors="replace")))
                retry_after = refusal.headers.get("Retry-After", "")
                pause = max(pause, int(retry_after) if retry_after.isdigit() else 0)
            except (urllib.error.URLError, TimeoutError, ConnectionError) as failure:
                if attempt == ATTEMPTS:
                    sys.exit("export_users: the server does not answer: %s" % failure)
            time.sleep(pause)
        if answer.get("errors"):
            sys.exit("export_users: " + "; ".join(e["message"] for e in answer["errors"]))
        return answer["data"]


def users(api, user_filter):
    """Yields each user with all store memberships, and the total."""
    after = None
    while True:
        page = api.query(PAGE, {"filter": user_filter, "after": after})["account"]["users"]
        for edge in page["edges"]:
            user = edge["node"]
            memberships = user["stores"]
            user["stores"] = [membership_of(e["node"]) for e in memberships["edges"]]
            while memberships["pageInfo"]["hasNextPage"]:
                variables = {"id": user["id"], "after": memberships["pageInfo"]["endCursor"]}
                memberships = api.query(MORE_MEMBERSHIPS, variables)["node"]["stores"]
                user["stores"] += [membership_of(e["node"]) for e in memberships["edges"]]
            yield user, page["collectionInfo"]["totalItems"]
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"]["endCursor"]


def membership_of(node):
    """The output of a store membership."""
    store = node.pop("store")
    return {"storeHash": store["storeHash"], "storeName": store["name"], **node}


# Places where a spreadsheet could evaluate a cell, or a part of it after a separator, as a formula.
FORMULA = re.compile(r"(?:(?<=[;\t\r\n])|^)(?='*[=+\-@\t\r＝＋－＠])")


def escaped(cell):
    """The cell with an apostrophe before each formula, which `latchkey user provision` removes."""
    return FORMULA.sub("'", cell)


def whole_seconds(at):
    """The time without fractions of a second."""
    return at.split(".")[0].rstrip("Z") + "Z" if at else ""


def rows(user):
    """The lines of a user: one for each store, or one for a user in no store."""
    columns = [user["id"], user["email"], user["firstName"], user["lastName"], user["locale"], user["externalId"] or "",
               whole_seconds(user["createdAt"]), whole_seconds(user["updatedAt"])]
    for store in user["stores"] or [None]:
        membership = [store["storeHash"], store["storeName"], store["role"], store["status"], whole_seconds(store["lastLoginAt"])] if store else [""] * 5
        yield [escaped(cell) for cell in columns + membership]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", required=True, help="the server's URL")
    parser.add_argument("--account", required=True, help="the account's UUID")
    parser.add_argument("--token-file", required=True, help="a file with an account-level access token")
    parser.add_argument("--output", choices=["csv", "ndjson"], default="csv")
    parser.add_argument("--store", help="only users of the store with this hash")
    parser.add_argument("--updated-after", help="only users who were changed after this time, such as 2027-01-31T00:00:00Z")
    options = parser.parse_args()
    with open(options.token_file, encoding="ascii") as file:
        api = API(options.server, options.account, file.read().strip())
    user_filter = {name: value for name, value in (("storeId", options.store), ("updatedAfter", options.updated_after)) if value}
    sys.stdout.reconfigure(encoding="utf-8", newline="")
    lines = csv.writer(sys.stdout, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    if options.output == "csv":
        lines.writerow(COLUMNS)
    count, is_terminal = 0, sys.stderr.isatty()
    for user, total in users(api, user_filter):
        if options.output == "csv":
            lines.writerows(rows(user))
        else:
            print(json.dumps(user, ensure_ascii=False, separators=(",", ":")))
        count += 1
        if is_terminal and count % 250 == 0:
            print("\r%d of %d users" % (count, total), end="", file=sys.stderr, flush=True)
    sys.stdout.flush()
    print("%s%d users" % ("\r" if is_terminal else "", count), file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        # The reader, such as head, has seen enough. Python would report the same error once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
