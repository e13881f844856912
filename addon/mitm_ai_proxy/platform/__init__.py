"""The job platform: many video jobs on a few slots of Kling; a client of the gateway that holds no key of Kling's."""
