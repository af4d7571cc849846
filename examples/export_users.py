#!/usr/bin/env python3
"""Writes everybody in an account, with their stores, to standard output as CSV or NDJSON.

It asks nothing but the Account API, page by page, so that a hundred thousand people take no more memory than 250.

    export_users.py --server https://keys.example.com --account UUID --token-file FILE > people.csv

The file holds an account-level access token with the scopes account_users_read and account_stores_read.
"""

import argparse
import csv
import json
import re
import sys
import time
import urllib.error
import urllib.request

PLACES = """pageInfo { hasNextPage endCursor } edges { node {
    role status permissions lastLoginAt updatedAt store { storeHash name } } }"""
PAGE = """query($filter: UserFilterInput, $after: String) { account { users(first: 250, filter: $filter, after: $after) {
    collectionInfo { totalItems } pageInfo { hasNextPage endCursor }
    edges { node { id email firstName lastName locale externalId createdAt updatedAt stores(first: 10) { %s } } } } } }""" % PLACES
MORE_PLACES = "query($id: ID!, $after: String) { node(id: $id) { ... on User { stores(first: 250, after: $after) { %s } } } }" % PLACES
COLUMNS = ["user_id", "email", "first_name", "last_name", "locale", "external_id", "created_at", "updated_at",
           "store_hash", "store_name", "role", "status", "last_login_at"]
BUSY = (429, 502, 503, 504)
ATTEMPTS = 6


class API:
    """One account's API."""

    def __init__(self, server, account, token):
        self.url = "%s/accounts/%s/graphql" % (server.rstrip("/"), account)
        self.headers = {"Content-Type": "application/json", "X-Auth-Token": token}

    def ask(self, query, variables):
        """Returns the data. A busy server is asked again; reading may be repeated at will."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        for attempt in range(1, ATTEMPTS + 1):
            pause = 2 ** attempt / 4
            try:
                with urllib.request.urlopen(urllib.request.Request(self.url, body, self.headers), timeout=60) as response:
                    answer = json.load(response)
                break
            except urllib.error.HTTPError as refusal:
                if refusal.code not in BUSY or attempt == ATTEMPTS:
                    sys.exit("export_users: the server answers %d: %s" % (refusal.code, refusal.read().decode(errors="replace")))
                asked = refusal.headers.get("Retry-After", "")
                pause = max(pause, int(asked) if asked.isdigit() else 0)
            except (urllib.error.URLError, TimeoutError, ConnectionError) as failure:
                if attempt == ATTEMPTS:
                    sys.exit("export_users: the server does not answer: %s" % failure)
            time.sleep(pause)
        if answer.get("errors"):
            sys.exit("export_users: " + "; ".join(e["message"] for e in answer["errors"]))
        return answer["data"]


def people(api, narrow):
    """Yields everybody, each with all places in stores, and how many there are."""
    after = None
    while True:
        page = api.ask(PAGE, {"filter": narrow, "after": after})["account"]["users"]
        for edge in page["edges"]:
            person = edge["node"]
            places = person["stores"]
            person["stores"] = [stored(e["node"]) for e in places["edges"]]
            while places["pageInfo"]["hasNextPage"]:
                variables = {"id": person["id"], "after": places["pageInfo"]["endCursor"]}
                places = api.ask(MORE_PLACES, variables)["node"]["stores"]
                person["stores"] += [stored(e["node"]) for e in places["edges"]]
            yield person, page["collectionInfo"]["totalItems"]
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"]["endCursor"]


def stored(node):
    """A place in a store as it is written."""
    store = node.pop("store")
    return {"storeHash": store["storeHash"], "storeName": store["name"], **node}


# Where a spreadsheet could evaluate a cell, or a part of it after a separator, as a formula.
FORMULA = re.compile(r"(?:(?<=[;\t\r\n])|^)(?='*[=+\-@\t\r＝＋－＠])")


def escaped(cell):
    """The cell with an apostrophe before each formula. `latchkey user provision` removes it again."""
    return FORMULA.sub("'", cell)


def second(moment):
    """A moment without parts of a second."""
    return moment.split(".")[0].rstrip("Z") + "Z" if moment else ""


def rows(person):
    """The lines of a person: one for each store, and one for nobody's."""
    known = [person["id"], person["email"], person["firstName"], person["lastName"], person["locale"], person["externalId"] or "",
             second(person["createdAt"]), second(person["updatedAt"])]
    for place in person["stores"] or [None]:
        there = [place["storeHash"], place["storeName"], place["role"], place["status"], second(place["lastLoginAt"])] if place else [""] * 5
        yield [escaped(cell) for cell in known + there]


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--server", required=True, help="the server's URL")
    options.add_argument("--account", required=True, help="the account's UUID")
    options.add_argument("--token-file", required=True, help="a file with an account-level access token")
    options.add_argument("--output", choices=["csv", "ndjson"], default="csv")
    options.add_argument("--store", help="only people of the store with this hash")
    options.add_argument("--updated-after", help="only people who were changed after this time, such as 2027-01-31T00:00:00Z")
    given = options.parse_args()
    with open(given.token_file, encoding="ascii") as file:
        api = API(given.server, given.account, file.read().strip())
    narrow = {name: value for name, value in (("storeId", given.store), ("updatedAfter", given.updated_after)) if value}
    sys.stdout.reconfigure(encoding="utf-8", newline="")
    lines = csv.writer(sys.stdout, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    if given.output == "csv":
        lines.writerow(COLUMNS)
    count, shows = 0, sys.stderr.isatty()
    for person, total in people(api, narrow):
        if given.output == "csv":
            lines.writerows(rows(person))
        else:
            print(json.dumps(person, ensure_ascii=False, separators=(",", ":")))
        count += 1
        if shows and count % 250 == 0:
            print("\r%d of %d people" % (count, total), end="", file=sys.stderr, flush=True)
    sys.stdout.flush()
    print("%s%d people" % ("\r" if shows else "", count), file=sys.stderr)


if __name__ == "__main__":
    main()
