"""What calls of the API raise. `Client.track` raises nothing."""

from __future__ import annotations

from typing import List, Optional

from .models import Problem, Violation


class AnalyticsError(Exception):
    """The class of all errors of this package but OSError and ValueError."""


class ApiError(AnalyticsError):
    """The server answered with an error.

    `status` is the HTTP status. `problem` is what the server says about it, None if
    the answer isn't one of its own, such as a load balancer's page. `retry_after` is
    how many seconds the server wants to be left alone, None if it didn't say.
    """

    def __init__(self, status: int, problem: Optional[Problem], retry_after: Optional[float]) -> None:
        self.status = status
        self.problem = problem
        self.retry_after = retry_after
        text = f"{status}"
        if problem is not None:
            text = f"{status} {problem.code}: {problem.detail or problem.title}"
            for violation in problem.errors or []:
                text += f"\n  {violation.pointer}: {violation.detail}"
        super().__init__(text)

    @property
    def code(self) -> str:
        """The stable name of the problem; empty if the answer isn't the server's own."""
        return self.problem.code if self.problem is not None else ""

    @property
    def violations(self) -> List[Violation]:
        """All that is wrong with the request, each with a pointer to the value."""
        return list(self.problem.errors or []) if self.problem is not None else []


class QueueDirError(AnalyticsError):
    """The folder of the on-disk queue can't be used."""
