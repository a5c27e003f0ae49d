"""REST: routes, their answers, and the OpenAPI document."""
