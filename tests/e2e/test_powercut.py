"""A few power cuts: nothing acknowledged is lost, nothing is seen in part.
tests/powercut/run.py is the long version."""

# timeout: 600

import importlib.util
import os
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "powercut" / "run.py"
spec = importlib.util.spec_from_file_location("powercut", SCRIPT)
powercut = importlib.util.module_from_spec(spec)
spec.loader.exec_module(powercut)


class PowerCut(unittest.TestCase):
    @unittest.skipUnless(os.environ.get("MAILSTEAD_POWERCUT"),
                         "mounts many disks; part of make soak")
    @unittest.skipIf(os.environ.get("MAILSTEAD_SAN"), "proves the disk's order")
    @unittest.skipIf(powercut.why_not(), str(powercut.why_not()))
    def test_h14_h15_h16_power_cut(self):
        result = powercut.prove(points=20, seconds=2)
        self.assertGreater(result["acknowledged"], 20, result)
        self.assertEqual(result["points"], 20, result)
        for name in ("lost", "partial", "damaged"):
            self.assertEqual(result[name], 0, result)


if __name__ == "__main__":
    unittest.main()
