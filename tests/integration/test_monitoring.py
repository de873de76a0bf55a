"""Alerts and dashboard: what Prometheus' own tool says of them, and that they ask for what a running daemon has."""

import asyncio
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse

import pytest
import yaml
from admin_client import OPENMETRICS, get, needs_promtool, opener, promtool
from ctl_support import ROOT, wait_until
from prometheus_client.openmetrics import parser as openmetrics
from session_client import run
from slotbelld import free_port, spawn, stop

pytest_plugins = ["fixtures_daemon"]

RULES = ROOT / "config/prometheus/slotbell.rules.yml"
TESTS = ROOT / "tests/prometheus/alerts.yml"
ALERTS = {rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
DASHBOARD = json.loads((ROOT / "config/grafana/slotbell.json").read_text())
# Labels that no metric of ours has: Prometheus puts them there.
OF_PROMETHEUS = {"job", "instance", "le", "alertname", "alertstate"}
WORDS = {"sum", "by", "rate", "increase", "on", "and", "offset", "max", "min", "histogram_quantile", "changes", "min_over_time", "time",
         "count", "label_values"}  # fmt: skip

def panels():
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def dashboard_expressions():
    return [target["expr"] for panel in panels() for target in panel["targets"]] + [one["expr"] for one in DASHBOARD["annotations"]["list"]]


def selectors(expression):
    """(metric, {label: value}) of all that an expression asks for."""
    bare = re.sub(r"\b(?:by|on) \([^)]*\)", "", expression)  # names of labels, not of metrics
    bare = re.sub(r"\[[^]]*\]", "", bare)
    for match in re.finditer(r"([a-z_][a-z0-9_]+)(\{[^}]*\})?", re.sub(r'"[^"]*"', lambda m: m[0].replace("{", "").replace("}", ""), bare)):
        before = bare[:match.start()]
        if match[1] in WORDS or before.count("{") > before.count("}"):
            continue
        yield match[1], dict(re.findall(r'([a-z]+)=~?"([^"]*)"', match[2] or ""))


@pytest.fixture(scope="module")
def exposed(shared_house):
    """What the daemon has: sample name -> {label: values}."""
    daemon = shared_house.daemon(listen__admin="127.0.0.1:0")
    found = {"up": {}}
    for family in openmetrics.text_string_to_metric_families(get(daemon, "/metrics", OPENMETRICS)[2]):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def test_what_an_expression_asks_for_is_found_in_it():
    assert list(selectors('sum by (le, query) (rate(one_total{a="b", instance=~"$instance"}[5m])) / on (x) two > 0')) == [
        ("one_total", {"a": "b", "instance": "$instance"}), ("two", {})]  # fmt: skip


@pytest.mark.parametrize("where", ["alerts", "dashboard"])
def test_every_expression_asks_for_what_there_is(exposed, where):
    expressions = [rule["expr"] for rule in ALERTS.values()] if where == "alerts" else dashboard_expressions()
    asked = [(expression, *selector) for expression in expressions for selector in selectors(expression)]
    assert len(asked) >= len(expressions)
    for expression, name, labels in asked:
        assert name in exposed, f"there is no metric {name}: {expression}"
        for label, value in labels.items():
            if label in OF_PROMETHEUS:
                continue
            assert value in exposed[name].get(label, ()), f"{name} has no {label}={value}: {expression}"
    for expression in expressions:
        for grouped in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
            of_metrics = {label for name, _ in selectors(expression) for label in exposed[name]} | OF_PROMETHEUS
            assert {label.strip() for label in grouped.split(",")} <= of_metrics, expression


def test_no_metric_of_ours_is_without_a_panel(exposed):
    shown = {name for expression in dashboard_expressions() for name, _ in selectors(expression)}
    base = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in exposed} == base


class Prometheus:
    """The real one, with our rules, looking at one daemon every second. For a `with`."""

    def __init__(self, folder, target):
        self.port = free_port()
        config = folder / "prometheus.yml"
        config.write_text(yaml.safe_dump({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "slotbell", "static_configs": [{"targets": [target]}]}],
        }))  # fmt: skip
        self.command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
                        f"--web.listen-address=127.0.0.1:{self.port}"]  # fmt: skip
        self.log = folder / "prometheus.log"

    def __enter__(self):
        self.process = spawn(self.command, self.log)
        return self

    def __exit__(self, *_):
        stop(self.process)

    def ask(self, path, **values):
        """What its API answers; None while it does not."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(values)}"
        try:
            with opener.open(url, timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:  # it starts
                return None
            raise AssertionError(f"{values}: {error.read().decode()}") from None
        except urllib.error.URLError:
            return None

    def sees(self, expression):
        found = self.ask("query", query=expression)
        return bool(found and found["result"])

    def rules(self):
        found = self.ask("rules")
        return found["groups"][0]["rules"] if found and found["groups"] else []


@pytest.mark.skipif(not shutil.which("prometheus"), reason="Prometheus is not there")
def test_a_real_prometheus_finds_all_of_it_at_a_daemon_that_is_well(house, tmp_path):
    daemon = house.daemon(listen__admin=f"127.0.0.1:{free_port()}")
    token = house.enrol("ada@example.com")

    async def story():
        async with house.client(daemon, token) as client:
            await client.welcome()
            await client.receive("live")
            with Prometheus(tmp_path, daemon.settings["listen.admin"]) as prometheus:
                await asyncio.to_thread(wait_until, lambda: prometheus.sees("slotbell_build_info"), "the first scrape")
                for _ in range(3):
                    house.publish("ada@example.com")
                    booking = await client.receive("booking")
                    await client.ack(booking["cursor"])
                    await client.acked(booking["cursor"])
                await asyncio.to_thread(look, prometheus)

    def look(prometheus):
        rate = 'sum(rate(slotbell_acks_saved_total{job="slotbell"}[1m])) > 0'
        wait_until(lambda: prometheus.sees(rate), "the bookings are seen")
        wait_until(lambda: {rule["health"] for rule in prometheus.rules()} == {"ok"}, "every rule was evaluated")
        assert {rule["name"] for rule in prometheus.rules()} == set(ALERTS)
        # What would fire for a daemon that was started a second ago would cry wolf at every start.
        assert {rule["name"] for rule in prometheus.rules() if rule["state"] == "firing"} == set()
        empty = set()
        for panel in panels():
            for target in panel["targets"]:
                expression = target["expr"].replace("$__rate_interval", "5s").replace("$instance", ".*")
                if not prometheus.sees(expression):
                    empty.add(panel["title"])
        assert empty <= {"Sessions that ended", "Turned away", "What went wrong"}, "a panel that shows nothing at a daemon that works"

    run(story())


# ---- alerts ----


@needs_promtool
def test_promtool_takes_the_rules_and_their_tests_pass():
    promtool("check", "rules", RULES)
    promtool("test", "rules", TESTS)


def test_every_alert_has_a_case_that_fires_and_one_that_does_not():
    cases = yaml.safe_load(TESTS.read_text())["tests"]
    named = {case["name"]: case for case in cases}
    for alert in ALERTS:
        fires, quiet = named.pop(f"{alert} fires"), named.pop(f"{alert} is quiet")
        for case, expected in ((fires, True), (quiet, False)):
            (check,) = case["promql_expr_test"]
            assert f'alertname="{alert}"' in check["expr"] and bool(check["exp_samples"]) == expected
    assert set(named) == {"what an operator reads"}


@needs_promtool
def test_the_tests_of_alerts_can_fail(tmp_path):
    """Each threshold taken away: its own case must notice."""
    text = RULES.read_text()
    (tmp_path / "rules.yml").write_text(re.sub(r"expr: .*", "expr: vector(0) > 1", text))
    (tmp_path / "alerts.yml").write_text(TESTS.read_text().replace("../../config/prometheus/slotbell.rules.yml", "rules.yml"))
    done = subprocess.run(["promtool", "test", "rules", str(tmp_path / "alerts.yml")], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert all(f'alertname="{alert}"' in said.replace("\\", "") for alert in ALERTS)


def headings(page, under):
    section = page.partition(f"\n## {under}\n")[2].partition("\n## ")[0]
    return re.findall(r"^### (.+)$", section, re.M), section


def test_each_alert_says_what_to_do_and_where_it_stands_at_length():
    told, section = headings((ROOT / "docs/operating.md").read_text(), "Alerts, and what to do at each")
    assert told == list(ALERTS)
    for alert, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "action", "runbook"}
        assert rule["annotations"]["runbook"] == f"docs/operating.md#{alert.lower()}"
        assert rule["annotations"]["summary"].endswith("."), alert
    for text in re.split(r"^### ", section, flags=re.M)[1:]:
        assert len(text.split()) > 25, f"hardly a word on {text.splitlines()[0]}"


def test_identifiers_in_alerts_and_advice_are_those_of_the_log():
    known = set(re.findall(r'"([0-9a-f]{32})"', (ROOT / "daemon/ops/log_events.h").read_text()))
    for text in (RULES.read_text(), (ROOT / "docs/operating.md").read_text()):
        named = set(re.findall(r"MESSAGE_ID=([0-9a-f]+)", text))
        assert named and named <= known


def test_links_within_the_page_lead_to_headings():
    page = (ROOT / "docs/operating.md").read_text()
    anchors = {re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", page, re.M)}
    links = set(re.findall(r"\]\(#([^)]+)\)", page))
    assert links and links <= anchors


# ---- dashboard ----


def test_the_dashboard_is_one_that_grafana_imports():
    assert DASHBOARD["id"] is None and DASHBOARD["uid"] and DASHBOARD["schemaVersion"] >= 36
    (given,) = DASHBOARD["__inputs"]
    assert given["type"] == "datasource" and given["pluginId"] == "prometheus"
    source = {"type": "prometheus", "uid": "${%s}" % given["name"]}
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))
    for panel in panels():
        assert panel["datasource"] == source and panel["title"] and panel["description"].endswith(".")
        assert all(target["datasource"] == source for target in panel["targets"])
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    assert DASHBOARD["templating"]["list"][0]["datasource"] == source


def test_a_row_for_each_question_and_no_panel_lies_over_another():
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert len(rows) >= 7 and all(title.endswith("?") for title in rows)
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells


@needs_promtool
def test_the_dashboards_expressions_are_promql(tmp_path):
    rules = [{"record": f"panel:{i}", "expr": expression.replace("$__rate_interval", "5m").replace("$instance", ".*")}
             for i, expression in enumerate(dashboard_expressions())]  # fmt: skip
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)
