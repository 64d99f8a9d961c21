"""The lock around tracing."""

import threading

# Held by the thread that traces or records. Meanwhile torch patches itself, and the JAX
# engine tracks the variables of one function at a time. Compiled code runs without it.
tracing = threading.RLock()
