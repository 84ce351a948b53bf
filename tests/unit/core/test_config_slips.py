"""What others write into the environment, and what people get wrong in `.env` and in addresses."""

from pathlib import Path

import pytest
from dbmazz.config import Settings, load_settings
from dbmazz.errors import ConfigError


@pytest.mark.parametrize(
    "name",
    ["SOURCE_DATE_EPOCH", "SOURCE_COMMIT", "SOURCE_BRANCH", "CHECKPOINT_DIR", "READER_X", "READER_PORT", "GRPC_TRACE"],
)
def test_names_of_others_are_left_alone(tmp_path: Path, name: str):
    assert load_settings({name: "1"}, tmp_path) == Settings()


@pytest.mark.parametrize(
    "name", ["SOURCE_UR", "SOURCE_URRL", "SINK_WHATEVER", "FLUSH_SIZES", "DBMAZZ_X", "CHECKPOINT_ADRESS"]
)
def test_slips_are_errors(tmp_path: Path, name: str):
    with pytest.raises(ConfigError, match=name):
        load_settings({name: "1"}, tmp_path)


@pytest.mark.parametrize("line", ["TABLES public.v", "TABLES", "=x", "TABLES='open"])
def test_a_line_of_dotenv_that_is_no_setting_is_an_error(tmp_path: Path, line: str):
    (tmp_path / ".env").write_text(f"SINK_DATABASE=shop\n{line}\n")
    with pytest.raises(ConfigError, match=r"line 2 of \.env"):
        load_settings({}, tmp_path)


def test_a_dotenv_that_is_a_directory_is_an_error(tmp_path: Path):
    (tmp_path / ".env").mkdir()
    with pytest.raises(ConfigError, match=r"\.env cannot be read"):
        load_settings({}, tmp_path)


@pytest.mark.parametrize(
    "address", ["", "http://x:1", "127.0.0.1", "127.0.0.1:70000", "127.0.0.1:0", "foo bar", "a:1,,b:2"]
)
def test_bad_addresses(tmp_path: Path, address: str):
    with pytest.raises(ConfigError, match="READER_ADDRESS"):
        load_settings({"READER_ADDRESS": address}, tmp_path)


@pytest.mark.parametrize("address", ["localhost:1", "reader.ns.svc:50051", "[::1]:50051", "10.0.0.1:1,b-2:2"])
def test_good_addresses(tmp_path: Path, address: str):
    assert load_settings({"LOADER_ADDRESS": address}, tmp_path).loader_address == address


@pytest.mark.parametrize("slot", ["Bad-Slot", "", "x" * 64])
def test_bad_slot_names(tmp_path: Path, slot: str):
    with pytest.raises(ConfigError, match="SOURCE_SLOT_NAME"):
        load_settings({"SOURCE_SLOT_NAME": slot}, tmp_path)
