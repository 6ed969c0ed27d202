"""Load for users of Locust:

    locust -f test/load/locustfile.py --headless -u 1000 -r 200

sends single events mostly, batches and queries now and then. It shows how the
service behaves for many clients; to learn how fast it is, use the program in this
directory: Locust needs more of the machine than the service.
"""

import random
import time
import uuid

from locust import FastHttpUser, between, task

OBJECTS = ["page", "product", "search", "cart", "article", "video", "order", "message", "profile", "session"]
VERBS = ["viewed", "clicked", "opened", "shared", "closed"]
EVENT_TYPES = [f"{thing}_{verb}" for thing in OBJECTS for verb in VERBS]
# Zipf's law: the k-th type is as frequent as 1/k.
WEIGHTS = [1 / (k + 1) for k in range(len(EVENT_TYPES))]

USERS = 200_000
SPREAD_SECONDS = 3600
BATCH_EVENTS = 20

# Rejections that a client is expected to handle have names of their own: they are no
# defects.
REFUSALS = {429: "over the rate limit (429): start the service with RATE_LIMIT=0", 503: "too busy or without its database (503)"}


def new_event():
    """Return an event with an id of its own: it may be sent again."""
    return {
        "user_id": random.randint(1, USERS),
        "event_type": random.choices(EVENT_TYPES, WEIGHTS)[0],
        "timestamp": int(time.time()) - random.randrange(SPREAD_SECONDS),
        "event_id": str(uuid.uuid4()),
        "payload": {
            "path": f"/page/{random.randrange(100_000)}",
            "millis": random.randrange(5_000),
            "source": random.choice(["mail", "search", "partner", "direct"]),
        },
    }


class Client(FastHttpUser):
    """A client that sends events and sometimes reads a count."""

    host = "http://localhost:8000"
    wait_time = between(0.1, 1)

    @task(20)
    def send_event(self):
        """Send one event."""
        with self.client.post("/event", json=new_event(), name="/event", catch_response=True) as response:
            self.record(response, 202)

    @task(2)
    def send_batch(self):
        """Send a few events at once."""
        batch = [new_event() for _ in range(BATCH_EVENTS)]
        with self.client.post("/events", json=batch, name="/events", catch_response=True) as response:
            self.record(response, 202)
            # 202 says that some were stored; the receipt says how many.
            if response.status_code == 202 and response.json()["received"] != len(batch):
                response.failure("not every event of a batch was stored")

    @task(1)
    def read_count(self):
        """Read how many events of a type there are."""
        event_type = random.choices(EVENT_TYPES, WEIGHTS)[0]
        with self.client.get(f"/stats/{event_type}", name="/stats/{event_type}", catch_response=True) as response:
            self.record(response, 200)

    def record(self, response, expected):
        """Record a response as a success or under the name of its failure."""
        if response.status_code == expected:
            response.success()
        elif response.status_code == 0:
            response.failure("no response")
        else:
            response.failure(REFUSALS.get(response.status_code, f"unexpected status {response.status_code}"))
