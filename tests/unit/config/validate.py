"""validate.py SCHEMA FILE|DIRECTORY...: prints an empty line and the names of the YAML files that the JSON schema takes."""
import json
import os
import sys

import jsonschema
import yaml

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
names = []
for argument in sys.argv[2:]:
    if os.path.isdir(argument):
        names += [name for name in os.listdir(argument) if name.endswith(".yaml")]
    else:
        names.append(argument)
print()
for name in names:
    with open(name, encoding="utf-8") as file:
        if validator.is_valid(yaml.safe_load(file)):
            print(name)
