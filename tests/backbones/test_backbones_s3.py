"""A checkpoint in a bucket, on a real S3 server."""

import pytest
import timm
import torch

import servers
from backbench.backbones import identify, load_backbone
from backbench.errors import StorageError

MODEL = "timm:test_resnet.r160_in1k"


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """A server with an empty bucket `weights`, as the client's environment says."""
    servers.require_weed()
    with servers.weed(tmp_path / "weed", bucket="weights") as store:
        for name, value in store.env.items():
            monkeypatch.setenv(name, value)
        yield servers.s3_client(store)


def weights(folder, seed):
    torch.manual_seed(seed)
    path = folder / f"{seed}.pt"
    torch.save({"state_dict": timm.create_model("test_resnet").state_dict()}, path)
    return path


def test_a_checkpoint_in_a_bucket_is_its_local_copy_and_a_replaced_one_is_noticed(bucket, tmp_path):
    first, second = weights(tmp_path, 1), weights(tmp_path, 2)
    uri = "s3://weights/runs/7/best.pt"
    bucket.upload_file(str(first), "weights", "runs/7/best.pt")
    assert load_backbone(MODEL, uri).identity.key == identify(MODEL, str(first)).key
    assert identify(MODEL, uri).checkpoint == uri
    bucket.upload_file(str(second), "weights", "runs/7/best.pt")
    assert identify(MODEL, uri).key == identify(MODEL, str(second)).key
    with pytest.raises(StorageError):
        load_backbone(MODEL, "s3://weights/runs/8/best.pt")
