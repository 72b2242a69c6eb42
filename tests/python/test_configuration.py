"""What the binding tells of configuration, models and the machine."""

import pytest

import citadel_embed


@pytest.fixture
def engine(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "citadel.json").write_text("{}")
    path = tmp_path / "c.yaml"
    path.write_text(f"batch_tokens: 99\nmodel_path: {tmp_path}\nmodels: {{mine: {{path: a}}}}\n")
    with citadel_embed.Engine(config_file=path, threads=1, precision="fp32", warmup=False) as engine:
        yield engine


def test_config_has_the_origin_of_every_value(engine, tmp_path):
    lines = engine.config().splitlines()
    assert "threads = 1   # option threads" in lines
    assert "precision = fp32   # option precision" in lines
    assert "model_warmup_enabled = false   # option warmup" in lines
    assert f"batch_tokens = 99   # {tmp_path}/c.yaml:1" in lines
    assert f"models.mine = {tmp_path}/a   # {tmp_path}/c.yaml:3" in lines


def test_model_names(engine):
    assert engine.model_names(configured=True) == ["mine"]
    assert engine.model_names() == ["mine", "a", "b"]


def test_a_bad_model_has_no_forms(engine):
    with pytest.raises(citadel_embed.CitadelError) as caught:
        engine.model_forms("mine")
    assert caught.value.status == "CITADEL_E_BAD_MODEL"


def test_diagnose(engine):
    found = engine.diagnose()
    assert found["threads"] == 1 and found["cpus"] >= 1 and found["process_bytes"] > 1e6
    assert bool(found["backend"]) != bool(found["backend_error"])


def test_a_fault_in_the_file_is_raised_with_its_line(tmp_path):
    (tmp_path / "c.yaml").write_text("\nthreads: none\n")
    with pytest.raises(citadel_embed.CitadelError, match="line 2: threads is 'none'"):
        citadel_embed.Engine(config_file=tmp_path / "c.yaml")
