"""On each labelled sample the Quick look preset teaches the starter more than its frozen features knew."""

from pathlib import Path

import pytest

from bertspace import data, presets
from bertspace.schema import TrainConfig
from bertspace.tasks import samples
from tests.support.training import made_run, work

pytestmark = pytest.mark.slow

LABELLED = [name for name, sample in samples().items() if "label" in sample.columns]


@pytest.mark.needs_starter
@pytest.mark.parametrize("name", LABELLED)
def test_quick_look_beats_the_frozen_probe_on(name: str, tmp_path: Path) -> None:
    sample = samples()[name]
    settings = presets.settings("quick") | {"validation_share": sample.validation_share}
    config = TrainConfig.from_dict({"dataset": f"sample:{name}"} | settings)
    run = made_run(tmp_path / "run", config, data.load_splits(config))
    work(run)
    result = run.result()
    assert result is not None, run.log_tail()
    tuned, probe = result["validation"]["accuracy"], result["base"]["validation"]["accuracy"]
    assert tuned > probe, f"fine-tuned {tuned}, probe {probe} on {result['rows']['validation']} rows"
