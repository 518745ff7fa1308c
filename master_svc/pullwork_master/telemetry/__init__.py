"""What a master tells OpenTelemetry: counts of what happened, what there is, and how tasks waited.

It listens to committed steps, on the loop's thread, and changes nothing. Nothing of it is loaded
unless telemetry is on.
"""
