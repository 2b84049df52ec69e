/** Where a routing rule sends a lead. */
final class Route {
    final String rule;
    final String route;
    final String queue;

    Route(String rule, String route, String queue) {
        this.rule = rule;
        this.route = route;
        this.queue = queue;
    }
}
