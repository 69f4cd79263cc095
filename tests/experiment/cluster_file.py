"""The cluster's file of a test's copy of the configs."""

from bupo.files import read_yaml, to_yaml


def change(project, *keys, to):
    """Set a key of the cluster's file."""
    path = project / "configs/cluster.yaml"
    values = read_yaml(path)
    place = values
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    path.write_text(to_yaml(values))
