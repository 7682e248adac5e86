# What each rule of conventions.yml finds, and what it leaves alone. `semgrep --test` reads this file; nothing runs it.
import contextlib
import hashlib
import hmac
import http.client
import logging
import os
import pickle
import subprocess
import urllib.request
from urllib.request import urlopen

import joblib
import jwt
import numpy as np
import pandas as pd
import requests
import sqlalchemy as sa
import structlog
import torch
import yaml
from flask import Blueprint, request
from sqlalchemy import select, text

log = structlog.get_logger()
blueprint = Blueprint("examples", __name__)


def errors():
    # ruleid: swallowed-error
    try:
        work()
    except:
        log.info("failed")
    # ruleid: swallowed-error
    try:
        work()
    except Exception:
        pass
    # ruleid: swallowed-error
    try:
        work()
    except OSError as error:
        pass
    # ruleid: swallowed-error
    with contextlib.suppress(Exception):
        work()
    # ok: swallowed-error
    with contextlib.suppress(FileNotFoundError):
        work()
    # ok: swallowed-error
    try:
        work()
    except Exception as error:
        log.warning("failed", error=type(error).__name__)
    # ok: swallowed-error
    try:
        work()
    except Exception:
        count(errors=1)
        raise


def reading(file, path):
    # ruleid: executable-format
    pickle.load(file)
    # ruleid: executable-format
    pickle.loads(file.read())
    # ruleid: executable-format
    joblib.load(path)
    # ruleid: executable-format
    torch.load(path, weights_only=False)
    # ruleid: executable-format
    pd.read_pickle(path)
    # ruleid: executable-format
    np.load(path, allow_pickle=True)
    # ok: executable-format
    np.load(path)
    # ok: executable-format
    json.load(file)
    # ok: executable-format
    pickle.dumps(path)


def commands(name):
    # ruleid: shell
    subprocess.run(f"ls {name}", shell=True, check=True)
    # ruleid: shell
    os.system("ls " + name)
    # ok: shell
    subprocess.run(["ls", name], check=True)
    # ok: shell
    subprocess.run(["ls", name], shell=False, check=True)


def queries(session, connection, name, table):
    # ruleid: sql-from-text
    connection.execute(f"SELECT * FROM donor WHERE name = '{name}'")
    # ruleid: sql-from-text
    connection.execute("SELECT * FROM donor WHERE name = '%s'" % name)
    # ruleid: sql-from-text
    connection.exec_driver_sql("DELETE FROM " + name)
    # ruleid: sql-from-text
    connection.execute("DELETE FROM {}".format(name))
    # ruleid: sql-from-text
    session.execute(text(f"SELECT * FROM donor WHERE name = '{name}'"))
    # ruleid: sql-from-text
    session.execute(sa.text("SELECT * FROM donor WHERE name = '%s'" % name))
    # ok: sql-from-text
    session.execute(text("SELECT * FROM donor WHERE name = :name"), {"name": name})
    # ok: sql-from-text
    session.execute(select(table).where(table.c.name == name))
    # ok: sql-from-text
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")


def calls(url, host):
    # ruleid: no-timeout
    requests.get(url)
    # ruleid: no-timeout
    urllib.request.urlopen(url)
    # ruleid: no-timeout
    urlopen(url, data=None)
    # ruleid: no-timeout
    http.client.HTTPConnection(host, 80)
    # ok: no-timeout
    requests.get(url, timeout=5)
    # ok: no-timeout
    urlopen(url, timeout=5)
    # ok: no-timeout
    http.client.HTTPConnection(host, 80, timeout=5)


def logs(job):
    # ruleid: body-in-log
    log.info("received", body=request.json)
    body = request.get_json()
    # ruleid: body-in-log
    log.warning("refused", name=body["name"])
    # ruleid: body-in-log
    logging.info("received %s", request.data)
    # ruleid: body-in-log
    print(request.get_data())
    # ok: body-in-log
    log.info("received", job_id=str(job.id), bytes=request.content_length)


def hashes(content, file):
    # ruleid: weak-hash
    hashlib.md5(content)
    # ruleid: weak-hash
    hashlib.new("sha1", content)
    # ruleid: weak-hash
    hashlib.file_digest(file, "sha1")
    # ok: weak-hash
    hashlib.sha256(content)
    # ok: weak-hash
    hashlib.file_digest(file, "sha256")


def documents(content):
    # ruleid: unsafe-yaml
    yaml.load(content, Loader=yaml.Loader)
    # ok: unsafe-yaml
    yaml.safe_load(content)


def evaluation(session, content):
    # ruleid: evaluated-text
    eval(content)
    # ruleid: evaluated-text
    exec(content)
    # ok: evaluated-text
    session.exec(content)
    # ok: evaluated-text
    re.compile(content)


def tokens(sent, key):
    # ruleid: token-of-any-algorithm
    jwt.decode(sent, key)
    # ruleid: token-of-any-algorithm
    jwt.decode(sent, key, algorithms=["EdDSA"], options={"verify_signature": False})
    # ok: token-of-any-algorithm
    jwt.decode(sent, key, algorithms=["EdDSA"], audience="sanguine")


def secrets(key, sent, content, account):
    # ruleid: secret-compared-openly
    if hmac.new(key, content, "sha256").hexdigest() == sent:
        return
    # ruleid: secret-compared-openly
    if hmac.digest(key, content, "sha256") != sent:
        return
    # ruleid: secret-compared-openly
    if account.token == sent:
        return
    # ruleid: secret-compared-openly
    if sent != secret:
        return
    # ok: secret-compared-openly
    if hmac.compare_digest(account.token, sent):
        return
    # ok: secret-compared-openly
    if account.name == sent:
        return
    # ok: secret-compared-openly
    if account.token is None or secret == "":
        return
    # ok: secret-compared-openly
    session.execute(select(TABLE).where(TABLE.c.token == sent))


# ruleid: route-without-permission
@blueprint.get("/donors")
def list_donors():
    return {}


# ok: route-without-permission
@blueprint.get("/donors/<donor_id>")
@requires(Permission.READ_RECORDS)
def get_donor(donor_id):
    return {}


# ok: route-without-permission
@blueprint.post("/logout")
@identified
def log_out():
    return {}


# ok: route-without-permission
@blueprint.get("/health")
@open_to_all
def health():
    return {}


# ok: route-without-permission
@blueprint.before_request
def begin():
    return None
