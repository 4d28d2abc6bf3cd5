// The scenarios of SCENARIOS.md with the unmodified Java SDK. Prints a line for each: `passed NAME`, or `failed NAME` and why.

import io.github.centrifugal.centrifuge.*;

import java.util.ArrayList;
import java.util.List;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;

final class Scenarios {
    interface Play {
        void with(Actor actor) throws Exception;
    }

    private static final Map<String, Play> ALL = new LinkedHashMap<>();

    private static void scenario(String name, Play play) {
        ALL.put(name, play);
    }

    public static void main(String[] arguments) {
        Actor.port = Integer.parseInt(arguments[0]);
        Actor.internal = Integer.parseInt(arguments[1]);
        Actor.key = arguments[2];
        Actor.secret = arguments[3];
        recovery();
        tokens();
        serverSide();
        people();
        codes();
        ALL.forEach(Scenarios::run);
        // The SDK's threads would go on without anything to do.
        System.exit(0);
    }

    private static void run(String name, Play play) {
        try (Actor actor = new Actor()) {
            play.with(actor);
            System.out.println("passed " + name);
        } catch (Throwable error) {
            System.out.println("failed " + name + " " + String.valueOf(error).replace('\n', ' '));
        }
    }

    private static void publish(String channel, int from, int to) throws Exception {
        for (int n = from; n <= to; n++) Actor.publish(channel, n);
    }

    private static List<String> numbered(int from, int to) {
        return IntStream.rangeClosed(from, to).mapToObj(n -> n + " " + n).toList();
    }

    private static void recovery() {
        scenario("recover-missed", actor -> {
            Actor.Player player = actor.cuttable(options -> {});
            String channel = Actor.own("kept");
            Actor.Listened listened = player.subscribed(channel);
            publish(channel, 1, 3);
            listened.seen.await("publication", 3);
            player.cut();
            publish(channel, 4, 23);
            player.cutter.heal();
            listened.seen.await("subscribed", 2);
            Actor.must(listened.seen.of("subscribed").get(1).startsWith("true true"), listened.seen.lines.toString());
            publish(channel, 24, 24);
            listened.seen.await("publication", 24);
            Actor.same(listened.publications(), numbered(1, 24));
        });
        scenario("recover-too-much-missed", actor -> {
            Actor.Player player = actor.cuttable(options -> {});
            String channel = Actor.own("brief");
            Actor.Listened listened = player.subscribed(channel);
            player.cut();
            publish(channel, 1, 20);
            player.cutter.heal();
            listened.seen.await("subscribed", 2);
            Actor.must(listened.seen.of("subscribed").get(1).startsWith("true false"), listened.seen.lines.toString());
            publish(channel, 21, 21);
            listened.seen.await("publication", 1);
            Actor.same(listened.publications(), numbered(21, 21));
        });
        scenario("recover-newest", actor -> {
            Actor.Player player = actor.cuttable(options -> {});
            String channel = Actor.own("cache");
            Actor.Listened listened = player.subscribed(channel);
            publish(channel, 1, 1);
            listened.seen.await("publication", 1);
            player.cut();
            publish(channel, 2, 9);
            player.cutter.heal();
            listened.seen.await("publication", 2);
            publish(channel, 10, 10);
            listened.seen.await("publication", 3);
            Actor.same(listened.publications(), List.of("1 1", "9 9", "10 10"));
        });
        scenario("newest-first", actor -> {
            String channel = Actor.own("greeting");
            publish(channel, 1, 5);
            Actor.Listened listened = actor.player().connected().subscribed(channel);
            listened.seen.await("publication", 1);
            Actor.same(listened.publications(), numbered(5, 5));
        });
        scenario("history-pages", actor -> {
            String channel = Actor.own("open");
            publish(channel, 1, 25);
            Actor.Listened listened = actor.player().connected().subscribed(channel);
            HistoryResult top = page(listened, 0, null, false);
            Actor.same(top.getPublications().size(), 0);
            Actor.same(top.getOffset(), 25L);
            List<String> seen = new ArrayList<>();
            for (long since = 0; ; ) {
                List<Publication> page = page(listened, 7, new StreamPosition(since, top.getEpoch()), false).getPublications();
                if (page.isEmpty()) break;
                page.forEach(one -> seen.add(one.getOffset() + " " + Actor.text(one.getData())));
                since = page.get(page.size() - 1).getOffset();
            }
            Actor.same(seen, numbered(1, 25));
            List<Publication> back = page(listened, 2, null, true).getPublications();
            Actor.same(back.stream().map(Publication::getOffset).toList(), List.of(25L, 24L));
        });
    }

    private static HistoryResult page(Actor.Listened listened, int limit, StreamPosition since, boolean reverse) throws Exception {
        HistoryOptions.Builder options = new HistoryOptions.Builder().withLimit(limit).withReverse(reverse);
        if (since != null) options = options.withSince(since);
        HistoryOptions built = options.build();
        return Actor.<HistoryResult>result(callback -> listened.subscription.history(built, callback));
    }

    /** Answers with the tokens in turn, the last one again and again; null never answers. */
    private static final class Getter extends ConnectionTokenGetter {
        final AtomicInteger calls = new AtomicInteger();
        final SubscriptionTokenGetter forSubscription = new SubscriptionTokenGetter() {
            @Override
            public void getSubscriptionToken(SubscriptionTokenEvent event, TokenCallback callback) {
                answer(callback);
            }
        };
        private final String[] answers;

        Getter(String... answers) {
            this.answers = answers;
        }

        @Override
        public void getConnectionToken(ConnectionTokenEvent event, TokenCallback callback) {
            answer(callback);
        }

        private void answer(TokenCallback callback) {
            String answer = answers[Math.min(calls.incrementAndGet(), answers.length) - 1];
            if (answer != null) callback.Done(null, answer);
        }
    }

    private static String lasting(int seconds) {
        return "\"exp\":" + Actor.soon(seconds);
    }

    private static String of(String channel) {
        return "\"channel\":\"" + channel + "\"";
    }

    private static int ended(Actor.Player player) throws Exception {
        player.client.connect();
        player.seen.await("disconnected", 1);
        return Integer.parseInt(player.seen.of("disconnected").get(0).split(" ")[0]);
    }

    private static void tokens() {
        scenario("token-expired-109", actor -> {
            Getter getter = new Getter(Actor.token("ann", lasting(600)));
            Actor.Player player = actor.player(options -> {
                options.setToken(Actor.token("ann", lasting(-10)));
                options.setTokenGetter(getter);
            }).connected();
            Actor.same(getter.calls.get(), 1);
            Actor.same(player.seen.of("disconnected"), List.of());
        });
        scenario("token-refreshed", actor -> {
            Getter getter = new Getter(Actor.token("ann", lasting(600)));
            Actor.Player player = actor.player(options -> {
                options.setToken(Actor.token("ann", lasting(3)));
                options.setTokenGetter(getter);
            }).connected();
            Actor.until(() -> getter.calls.get() == 1, "a call of the getter");
            Actor.<PublishResult>result(callback -> player.client.publish(Actor.own("open"), Actor.bytes("1"), callback));
            Actor.same(player.seen.of("connected").size(), 1);
        });
        scenario("token-wrong-3500", actor -> Actor.same(ended(actor.player(options -> options.setToken(Actor.token("ann") + "x"))), 3500));
        scenario("token-missing-3501", actor -> Actor.same(ended(actor.player(options -> options.setToken(""))), 3501));
        scenario("token-of-nobody-3507", actor -> Actor.same(ended(actor.player(options -> options.setToken(Actor.token("")))), 3507));
        scenario("subscription-token", actor -> {
            String channel = Actor.own("closed");
            String ticket = Actor.token("ann", of(channel), "\"info\":{\"seat\":7}", "\"data\":{\"welcome\":true}");
            Actor.Player player = actor.player().connected();
            Actor.Listened listened = player.subscribed(channel, options -> options.setToken(ticket));
            Actor.publish(channel, 1);
            listened.seen.await("publication", 1);
            Actor.must(listened.seen.of("subscribed").get(0).endsWith("{\"welcome\":true}"), listened.seen.lines.toString());
            Actor.must(Actor.api("presence", "{" + of(channel) + "}").contains("{\"seat\":7}"), "chan_info");
        });
        scenario("subscription-token-missing-103", actor -> {
            Actor.Player player = actor.player().connected();
            Actor.same(player.refused(Actor.own("closed")), 103);
            Actor.same(player.refused("$" + Actor.own("open")), 103);
        });
        scenario("subscription-token-refreshed", actor -> {
            String channel = Actor.own("closed");
            long end = Actor.soon(7);
            Getter getter = new Getter(Actor.token("ann", of(channel), lasting(3)), Actor.token("ann", of(channel), lasting(600)));
            Actor.Listened listened = actor.player().connected().subscribed(channel, options -> options.setTokenGetter(getter.forSubscription));
            Actor.until(() -> getter.calls.get() == 2 && Actor.soon(0) >= end, "the end of the first token and its grace");
            Actor.publish(channel, 1);
            listened.seen.await("publication", 1);
            Actor.same(listened.seen.of("subscribed").size(), 1);
        });
    }

    private static void serverSide() {
        scenario("server-side-by-token", actor -> {
            String channel = Actor.own("closed");
            Actor.Player player = actor.player(options -> options.setToken(Actor.token("ann", "\"channels\":[\"" + channel + "\"]"))).connected();
            player.seen.await("subscribed", 1);
            Actor.publish(channel, 1);
            player.seen.await("publication", 1);
            Actor.same(player.seen.of("publication"), List.of(channel + " 1"));
        });
        scenario("server-side-recovers", actor -> {
            String channel = Actor.own("kept");
            Actor.Player player = actor.cuttable(options -> options.setToken(Actor.token("ann", "\"channels\":[\"" + channel + "\"]")));
            player.seen.await("subscribed", 1);
            publish(channel, 1, 1);
            player.seen.await("publication", 1);
            player.cut();
            publish(channel, 2, 9);
            player.cutter.heal();
            player.seen.await("subscribed", 2);
            Actor.same(player.seen.of("subscribed").get(1).trim(), channel + " true true");
            publish(channel, 10, 10);
            player.seen.await("publication", 10);
            Actor.same(player.seen.of("publication"), IntStream.rangeClosed(1, 10).mapToObj(n -> channel + " " + n).toList());
        });
        scenario("server-side-by-api", actor -> {
            String user = Actor.own("u").replace(":", "-");
            String channel = Actor.own("closed");
            Actor.Player player = actor.player(options -> options.setToken(Actor.token(user))).connected();
            Actor.api("subscribe", "{\"user\":\"" + user + "\"," + of(channel) + ",\"data\":{\"by\":\"api\"}}");
            player.seen.await("subscribed", 1);
            Actor.must(player.seen.of("subscribed").get(0).endsWith("{\"by\":\"api\"}"), player.seen.lines.toString());
            Actor.publish(channel, 1);
            player.seen.await("publication", 1);
            Actor.api("unsubscribe", "{\"user\":\"" + user + "\"," + of(channel) + "}");
            player.seen.await("unsubscribed", 1);
        });
    }

    private static void people() {
        scenario("presence", actor -> {
            String channel = Actor.own("open");
            Actor.Player ann = actor.player(options -> options.setToken(Actor.token("ann", "\"info\":{\"name\":\"Ann\"}"))).connected();
            Actor.Listened listened = ann.subscribed(channel);
            for (String user : List.of("ann", "bob")) {
                actor.player(options -> options.setToken(Actor.token(user))).connected().subscribed(channel);
            }
            Map<String, ClientInfo> clients = Actor.<PresenceResult>result(callback -> listened.subscription.presence(callback)).getClients();
            Actor.same(clients.values().stream().map(ClientInfo::getUser).sorted().toList(), List.of("ann", "ann", "bob"));
            Actor.same(Actor.text(clients.get(ann.id()).getConnInfo()), "{\"name\":\"Ann\"}");
            PresenceStatsResult stats = Actor.<PresenceStatsResult>result(callback -> listened.subscription.presenceStats(callback));
            Actor.same(stats.getNumClients() + " " + stats.getNumUsers(), "3 2");
        });
        scenario("join-and-leave", actor -> {
            String channel = Actor.own("open");
            Actor.Listened asks = actor.player().connected().subscribed(channel, options -> options.setJoinLeave(true));
            Actor.Listened silent = actor.player().connected().subscribed(channel);
            Actor.Player bob = actor.player(options -> options.setToken(Actor.token("bob", "\"info\":{\"name\":\"Bob\"}"))).connected();
            bob.subscribed(channel);
            Actor.until(() -> asks.seen.of("join").contains("bob {\"name\":\"Bob\"}"), "bob's join");
            bob.client.disconnect();
            Actor.until(() -> asks.seen.of("leave").contains("bob"), "bob's leave");
            Actor.same(silent.seen.of("join"), List.of());
        });
    }

    private static void codes() {
        scenario("error-codes", actor -> {
            Actor.Player player = actor.player().connected();
            Actor.same(Actor.<PublishResult>code(callback -> player.client.publish("nowhere:1", Actor.bytes("1"), callback)), 102);
            Actor.same(Actor.<PublishResult>code(callback -> player.client.publish(Actor.own("closed"), Actor.bytes("1"), callback)), 103);
            Actor.same(Actor.<RPCResult>code(callback -> player.client.rpc("anything", Actor.bytes("1"), callback)), 108);
            Actor.same(player.refused("nowhere:1"), 102);
            Actor.same(player.refused(Actor.own("closed")), 103);
            Actor.same(player.seen.of("disconnected"), List.of());
        });
        scenario("unsubscribed-by-api-2000", actor -> {
            String user = Actor.own("u").replace(":", "-");
            String channel = Actor.own("open");
            Actor.Listened listened = actor.player(options -> options.setToken(Actor.token(user))).connected().subscribed(channel);
            Actor.api("unsubscribe", "{\"user\":\"" + user + "\"," + of(channel) + "}");
            listened.seen.await("unsubscribed", 1);
            Actor.must(listened.seen.of("unsubscribed").get(0).startsWith("2000"), listened.seen.lines.toString());
        });
        scenario("disconnected-by-api", actor -> {
            String user = Actor.own("u").replace(":", "-");
            Actor.Player player = actor.player(options -> options.setToken(Actor.token(user))).connected();
            Actor.api("disconnect", "{\"user\":\"" + user + "\",\"disconnect\":{\"code\":4501,\"reason\":\"go away\"}}");
            player.seen.await("disconnected", 1);
            Actor.same(player.seen.of("disconnected").get(0), "4501 go away");
        });
    }
}
