"""On each labelled sample the Quick look preset teaches the starter more than its frozen features knew."""

import pytest

from bertspace import presets
from bertspace.jobs import engine
from bertspace.schema import TrainConfig
from bertspace.tasks import samples

pytestmark = pytest.mark.slow

LABELLED = [name for name, sample in samples().items() if "label" in sample.columns]


@pytest.mark.needs_starter
@pytest.mark.parametrize("name", LABELLED)
def test_quick_look_beats_the_frozen_probe_on(name: str) -> None:
    sample = samples()[name]
    settings = presets.settings("quick") | {"validation_share": sample.validation_share}
    run = engine.submit(TrainConfig.from_dict({"dataset": f"sample:{name}"} | settings))
    engine.wait(run, 600)
    result = run.result()
    assert result is not None, run.log_tail()
    tuned, probe = result["validation"]["accuracy"], result["base"]["validation"]["accuracy"]
    assert tuned > probe, f"fine-tuned {tuned}, probe {probe} on {result['rows']['validation']} rows"
