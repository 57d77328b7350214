"""The dashboard and the alert rules of packaging/ ask for what the program serves, and for nothing else."""

import json
import os
import re

import archives
from archives import MEMBER
from manifests import REPOSITORY, container_of, load, pod_of
from mount import MountTest, main

DASHBOARD = REPOSITORY / "packaging" / "grafana" / "skopsfs.json"
ALERTS = REPOSITORY / "packaging" / "prometheus" / "alerts.yaml"
# A name with its labels, in PromQL or as it is served.
SELECTOR = re.compile(r"\b(skopsfs_[a-z0-9_]+)(?:\{([^}]*)\})?")
LABEL = re.compile(r'(\w+)\s*(?:=~|!=|!~|=)\s*"([^"]*)"')
FROM_SCRAPING = {"job", "instance"}


def rules():
    return [rule for group in load(ALERTS.read_text(encoding="utf-8"))[0]["groups"] for rule in group["rules"]]


def expressions():
    """Every expression of both, with where it stands."""
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield f"panel {panel['title']}", target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["query"]["query"]
    for rule in rules():
        yield f"alert {rule['alert']}", rule["expr"]


class Dashboards(MountTest):
    def served(self):
        """Of each metric that a real mount serves, its labels with their values."""
        with open(self.in_mount(".skopsfs", "metrics"), encoding="utf-8") as file:
            text = file.read()
        found = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, labels = SELECTOR.match(line).groups()
                for label, value in LABEL.findall(labels or ""):
                    found.setdefault(name, {}).setdefault(label, set()).add(value)
                found.setdefault(name, {})
        return found

    def test_names_and_labels(self):
        archives.write_version(self.in_source("a.skops"), 1)
        archives.write(self.in_source("broken.skops"), b"no archive")
        self.mount()
        with open(self.in_mount("a.skops", MEMBER), "rb") as file:
            file.read()
        self.assertRaises(OSError, os.listdir, self.in_mount("broken.skops"))
        served = self.served()
        used = set()
        for place, expression in expressions():
            for name, labels in SELECTOR.findall(expression):
                with self.subTest(place, name=name):
                    self.assertIn(name, served)
                    used.add(name)
                    for label, value in LABEL.findall(labels):
                        if label in FROM_SCRAPING:
                            continue
                        self.assertIn(label, served[name])
                        if label in ("operation", "state", "kind"):  # of which all values are known
                            for one in value.split("|"):
                                self.assertIn(one, served[name][label])
        self.assertGreater(len(used), 15)

    def test_operations_explains_each_alert(self):
        text = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
        self.assertEqual(re.findall(r"^\| `(Skopsfs\w+)` \|", text, re.M), [rule["alert"] for rule in rules()])

    def test_labels_of_legends(self):
        """{{label}} in a legend shows nothing when the expression leaves the label out."""
        board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
        for panel in board["panels"]:
            for target in panel["targets"]:
                for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                    kept = re.search(r"by \(([^)]*)\)", target["expr"])
                    if kept:
                        self.assertIn(label, kept[1].split(", "), panel["title"])

    def test_port_that_is_scraped(self):
        pod = pod_of("daemonset")
        container = container_of(pod, "skopsfs")
        port = container["ports"][0]["containerPort"]
        self.assertIn(f"--metrics-address=0.0.0.0:{port}", container["args"])


if __name__ == "__main__":
    main()
