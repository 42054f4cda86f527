"""docker-compose.yml against the Compose schema, against `.env` and against the scripts it runs."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from backbench.pipeline import service

REPOSITORY = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
PARTS = [name for name in SERVICES if name != "address"]  # which only holds a network
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::\?[^}]*)?\}")


def _scripts(name: str) -> list[Path]:
    """The scripts a service runs, by their place in the container."""
    texts = " ".join(
        str(SERVICES[name].get(key)) for key in ("entrypoint", "command", "healthcheck")
    )
    return [REPOSITORY / "service" / script for script in re.findall(r"/service/(\w+\.sh)", texts)]


@pytest.mark.parametrize("b2", [False, True])
def test_compose_accepts_the_file_and_what_init_wrote(tmp_path: Path, monkeypatch, b2: bool):
    compose = shutil.which("docker-compose") or pytest.skip("no docker-compose: apt-get install it")
    for name in ("B2_APPLICATION_KEY_ID", "B2_APPLICATION_KEY", "B2_BUCKET", "B2_REGION"):
        monkeypatch.setenv(name, name.lower())
    monkeypatch.setenv("B2_ENDPOINT", "https://s3.example")
    shutil.copy(REPOSITORY / "docker-compose.yml", tmp_path)
    service.init(tmp_path, b2=b2)
    done = subprocess.run(
        [compose, "config", "-q"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_every_variable_of_the_file_is_one_that_init_writes(tmp_path: Path):
    service.init(tmp_path)
    written = set(service.read(tmp_path).values)
    used = set(_VARIABLE.findall((REPOSITORY / "docker-compose.yml").read_text()))
    assert used <= written
    assert written - used == {"COMPOSE_PROFILES"}


@pytest.mark.parametrize("name", PARTS)
def test_a_container_gets_exactly_the_variables_its_scripts_ask_for(name: str):
    scripts = _scripts(name)
    assert all(script.is_file() for script in scripts)
    asked = {
        variable
        for script in scripts
        for variable in re.findall(r"\$\{(\w+):\?", script.read_text())
    }
    assert asked
    assert set(SERVICES[name]["environment"]) - {"PGPASSWORD"} == asked


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_is_pinned_and_restarted(name: str):
    part = SERVICES[name]
    assert re.search(r"\d+\.\d+", part["image"].rpartition(":")[2])
    assert part["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_fills_no_disk_with_its_log(name: str):
    assert {"max-size", "max-file"} <= set(SERVICES[name]["logging"]["options"])


@pytest.mark.parametrize("name", SERVICES)
def test_without_a_profile_nothing_is_half_started(name: str):
    assert set(SERVICES[name]["profiles"]) <= {"local", "b2"}


@pytest.mark.parametrize("name", PARTS)
def test_a_container_is_watched_and_has_the_scripts(name: str):
    part = SERVICES[name]
    assert {"test", "interval", "timeout", "retries", "start_period"} <= set(part["healthcheck"])
    assert "./service:/service:ro" in part["volumes"]


def test_every_data_folder_is_a_named_volume():
    parts = [SERVICES[name] for name in PARTS]
    mounts = {m.split(":")[0]: m.split(":")[1] for part in parts for m in part["volumes"]}
    assert mounts["database"] == SERVICES["database"]["environment"]["SERVICE_DATABASE_DATA"]
    assert mounts["objects"] == SERVICES["storage"]["environment"]["SERVICE_STORE_DATA"]
    assert set(COMPOSE["volumes"]) == {"database", "objects"}


def test_only_mlflow_and_s3_are_published_to_others():
    """The database listens on loopback; the store's other ports ask for no credentials."""
    published = {name: part.get("ports", []) for name, part in SERVICES.items()}
    assert all(port.startswith("127.0.0.1:") for port in published["database"])
    names = [_VARIABLE.findall(port) for port in published["address"]]
    ports = ["SERVICE_STORE_PORT", "SERVICE_TRACKING_PORT"]
    assert names == [["SERVICE_PUBLISH", port, port] for port in ports]
    assert not published["storage"] + published["tracking"]


def test_the_network_of_store_and_tracking_server_is_neithers_own():
    """A container that restarts with its own network leaves those that share it in the old one."""
    sharing = {name for name, part in SERVICES.items() if "network_mode" in part}
    assert sharing == {"storage", "tracking"}
    assert {SERVICES[name]["network_mode"] for name in sharing} == {"service:address"}
    assert not {"volumes", "environment", "healthcheck"} & set(SERVICES["address"])


def test_each_profile_has_one_tracking_server_that_waits_for_its_parts():
    for profile, parts in (("local", {"database", "storage", "address"}), ("b2", {"database"})):
        members = [n for n, s in SERVICES.items() if s.get("profiles") == [profile]]
        (tracking,) = [name for name in members if name.startswith("tracking")]
        waits = SERVICES[tracking]["depends_on"]
        assert set(waits) == parts
        watched = {name for name in waits if waits[name]["condition"] == "service_healthy"}
        assert watched == parts - {"address"}


def test_no_secret_is_written_in_the_file_and_none_has_a_default():
    text = (REPOSITORY / "docker-compose.yml").read_text()
    assert not re.search(r"\$\{\w*(PASSWORD|SECRET|KEY)\w*:?-", text)
    for part in (SERVICES[name] for name in PARTS):
        for name, value in part["environment"].items():
            if name.endswith(("PASSWORD", "SECRET", "_KEY")):
                assert value.startswith("${")


def test_the_tracking_image_is_the_version_this_project_is_tested_with():
    import mlflow

    assert SERVICES["tracking"]["image"] == f"ghcr.io/mlflow/mlflow:v{mlflow.__version__}-full"
    assert len({SERVICES[name]["image"] for name in ("tracking", "tracking-b2", "address")}) == 1


def test_a_script_without_its_variables_says_what_to_do():
    for name in PARTS:
        for script in _scripts(name):
            done = subprocess.run(
                ["sh", script],
                env={"PATH": "/usr/bin:/bin"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode != 0
            assert "run backbench service init" in done.stderr
