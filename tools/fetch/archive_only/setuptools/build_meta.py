import archive_only_backend as __legacy__  # noqa: F401, N813
from archive_only_backend import build_wheel, get_requires_for_build_wheel, prepare_metadata_for_build_wheel  # noqa: F401
