"""For tests of programs that use Pullwork: a whole cluster in the test's own process.

Real storage, a real master on a real port, real workers and executors, and a real client; what
a test gets beyond that is power over them: to kill, to freeze, to restart, and to let time pass.
`pullwork.testing.fixtures` makes a pytest fixture of it.
"""

from pullwork.testing.cluster import Cluster
from pullwork.testing.parts import ClusterError

__all__ = ["Cluster", "ClusterError"]
