"""Names of the contestants."""

FLOOR = "floor"
PHANTOMLINK = "phantomlink"
CHURNED = "phantomlink-churn"
PERTURBED = "phantomlink-perturbed"
ASYNCIO_SLEEP = "asyncio-sleep"
ASYNCIO_DEADLINE = "asyncio-deadline"
PYLSL_DEADLINE = "pylsl-deadline"
