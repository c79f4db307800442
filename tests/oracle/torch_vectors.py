#!/usr/bin/env python3
"""Small files of torch.save for tests/unit/test_torch.c, by torch itself (Debian: python3-torch).

usage: torch_vectors.py DIR    write DIR/plain/pytorch_model.bin, DIR/shards/..., DIR/strided.bin
"""
import json
import os
import sys
from collections import OrderedDict

import torch


def main(folder):
    for name in ("plain", "shards"):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    state = OrderedDict()  # as module.state_dict() gives
    state["b"] = torch.tensor([1.5, -2.25])
    state["a"] = torch.arange(6, dtype=torch.float16).reshape(2, 3)
    state["c"] = torch.arange(4, dtype=torch.bfloat16)[1:]  # part of a storage
    state["tied"] = state["b"]
    state["ids"] = torch.arange(3)
    state["one"] = torch.nn.Parameter(torch.ones(1, 2))
    state["scalar"] = torch.tensor(0.5)
    state._metadata = OrderedDict([("", {"version": 1})])
    torch.save(state, os.path.join(folder, "plain", "pytorch_model.bin"))
    parts = {"pytorch_model-00001-of-00002.bin": ["a", "c"],
             "pytorch_model-00002-of-00002.bin": ["b"]}
    for part, names in parts.items():
        torch.save({name: state[name].clone() for name in names} | {"step": 3},
                   os.path.join(folder, "shards", part))
    index = {"metadata": {"total_size": 26},
             "weight_map": {name: part for part, names in parts.items() for name in names}}
    with open(os.path.join(folder, "shards", "pytorch_model.bin.index.json"), "w",
              encoding="ascii") as f:
        json.dump(index, f, indent=1)
    torch.save({"x": torch.ones(3, 2).t()}, os.path.join(folder, "strided.bin"))
    torch.save({"x": torch.ones(2)}, os.path.join(folder, "legacy.bin"),
               _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
