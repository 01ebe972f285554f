"""metrics.py < METRICS: as Prometheus' own client library reads them, one JSON object: the sum of each name and label set.

Fails where a family has no help, no type or a name that its type forbids.
"""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

families = {}
samples = {}
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.name not in families, f"{family.name} comes twice"
    assert family.documentation and family.documentation.endswith("."), f"{family.name} has no help"
    assert family.type in ("counter", "gauge"), f"{family.name} has the type {family.type}"
    assert family.samples, f"{family.name} has no sample"
    families[family.name] = family.type
    for sample in family.samples:
        assert sample.name.endswith("_total") == (family.type == "counter"), sample.name
        key = " ".join([sample.name] + [f"{name}={value}" for name, value in sorted(sample.labels.items())])
        assert key not in samples, f"{key} comes twice"
        samples[key] = sample.value
json.dump(samples, sys.stdout)
