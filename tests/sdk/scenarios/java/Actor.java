// What a scenario plays with: clients of the unmodified Java SDK, which speaks Protobuf, and the server API.

import io.github.centrifugal.centrifuge.*;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;

import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

final class Actor implements AutoCloseable {
    private static final AtomicInteger NAMES = new AtomicInteger();
    private static final long PATIENCE = TimeUnit.SECONDS.toNanos(30);
    static int port;
    static int internal;
    static String key;
    static String secret;

    private final List<AutoCloseable> things = new ArrayList<>();

    static void must(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }

    static void same(Object got, Object expected) {
        must(expected.equals(got), "expected " + expected + ", got " + got);
    }

    static void until(BooleanSupplier condition, String what) throws InterruptedException {
        for (long end = System.nanoTime() + PATIENCE; !condition.getAsBoolean(); Thread.sleep(5)) {
            must(System.nanoTime() < end, "there was no sign of: " + what);
        }
    }

    static String own(String namespace) {
        return namespace + ":java" + ProcessHandle.current().pid() + "-" + NAMES.incrementAndGet();
    }

    static long soon(int seconds) {
        return System.currentTimeMillis() / 1000 + seconds;
    }

    /** A token signed with HS256; `claims` are the members of an object after `sub`, such as `"exp":1`. */
    static String token(String user, String... claims) {
        try {
            Base64.Encoder base64 = Base64.getUrlEncoder().withoutPadding();
            List<String> members = new ArrayList<>(List.of("\"sub\":\"" + user + "\""));
            members.addAll(Arrays.asList(claims));
            String head = base64.encodeToString("{\"alg\":\"HS256\",\"typ\":\"JWT\"}".getBytes(StandardCharsets.UTF_8));
            String body = base64.encodeToString(("{" + String.join(",", members) + "}").getBytes(StandardCharsets.UTF_8));
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(secret.getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
            return head + "." + body + "." + base64.encodeToString(mac.doFinal((head + "." + body).getBytes(StandardCharsets.UTF_8)));
        } catch (java.security.GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
    }

    /** Calls the server API; the text of the answer. */
    static String api(String method, String body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + internal + "/api/" + method))
            .header("X-API-Key", key)
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(body))
            .build();
        HttpResponse<String> answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        must(answer.statusCode() == 200 && !answer.body().contains("\"error\""), method + ": " + answer.statusCode() + " " + answer.body());
        return answer.body();
    }

    static void publish(String channel, Object data) throws Exception {
        api("publish", "{\"channel\":\"" + channel + "\",\"data\":" + data + "}");
    }

    static String text(byte[] data) {
        return data == null ? "" : new String(data, StandardCharsets.UTF_8);
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** What happened, as lines: the name of the event and what belongs to it. */
    static final class Seen {
        final ConcurrentLinkedQueue<String> lines = new ConcurrentLinkedQueue<>();

        void add(Object... parts) {
            lines.add(String.join(" ", Arrays.stream(parts).map(String::valueOf).toList()));
        }

        List<String> of(String name) {
            return lines.stream().filter(line -> line.startsWith(name + " ")).map(line -> line.substring(name.length() + 1)).toList();
        }

        void await(String name, int count) throws InterruptedException {
            try {
                until(() -> of(name).size() >= count, name + " number " + count);
            } catch (AssertionError error) {
                throw new AssertionError(error.getMessage() + " in " + lines);
            }
        }
    }

    final class Player implements AutoCloseable {
        final Seen seen = new Seen();
        final Client client;
        Cutter cutter;

        Player(int port, Consumer<Options> change) {
            Options options = new Options();
            options.setToken(token("ann"));
            options.setMinReconnectDelay(20);
            options.setMaxReconnectDelay(100);
            change.accept(options);
            client = new Client("ws://127.0.0.1:" + port + "/connection/websocket", options, new EventListener() {
                @Override
                public void onConnecting(Client client, ConnectingEvent event) {
                    seen.add("connecting", event.getCode(), event.getReason());
                }

                @Override
                public void onConnected(Client client, ConnectedEvent event) {
                    seen.add("connected", event.getClient());
                }

                @Override
                public void onDisconnected(Client client, DisconnectedEvent event) {
                    seen.add("disconnected", event.getCode(), event.getReason());
                }

                @Override
                public void onSubscribed(Client client, ServerSubscribedEvent event) {
                    seen.add("subscribed", event.getChannel(), event.wasRecovering(), event.getRecovered(), text(event.getData()));
                }

                @Override
                public void onUnsubscribed(Client client, ServerUnsubscribedEvent event) {
                    seen.add("unsubscribed", event.getChannel());
                }

                @Override
                public void onPublication(Client client, ServerPublicationEvent event) {
                    seen.add("publication", event.getChannel(), text(event.getData()));
                }
            });
            things.add(this);
        }

        Player connected() throws InterruptedException {
            client.connect();
            seen.await("connected", 1);
            return this;
        }

        String id() {
            return seen.of("connected").get(0);
        }

        Listened subscription(String channel, Consumer<SubscriptionOptions> change) throws DuplicateSubscriptionException {
            return new Listened(this, channel, change);
        }

        Listened subscribed(String channel, Consumer<SubscriptionOptions> change) throws Exception {
            Listened made = subscription(channel, change);
            made.subscription.subscribe();
            made.seen.await("subscribed", 1);
            return made;
        }

        Listened subscribed(String channel) throws Exception {
            return subscribed(channel, options -> {});
        }

        int refused(String channel) throws Exception {
            return refused(channel, options -> {});
        }

        /** Subscribes in vain; the code of the refusal. */
        int refused(String channel, Consumer<SubscriptionOptions> change) throws Exception {
            Listened made = subscription(channel, change);
            made.subscription.subscribe();
            made.seen.await("unsubscribed", 1);
            return Integer.parseInt(made.seen.of("unsubscribed").get(0).split(" ")[0]);
        }

        /** Cuts the connection and waits until the client has seen it. */
        void cut() throws InterruptedException {
            int before = seen.of("connecting").size();
            cutter.cut();
            seen.await("connecting", before + 1);
        }

        @Override
        public void close() throws InterruptedException {
            client.close(5000);
            if (cutter != null) cutter.close();
        }
    }

    static final class Listened {
        final Seen seen = new Seen();
        final Subscription subscription;

        Listened(Player player, String channel, Consumer<SubscriptionOptions> change) throws DuplicateSubscriptionException {
            SubscriptionOptions options = new SubscriptionOptions();
            options.setMinResubscribeDelay(20);
            options.setMaxResubscribeDelay(100);
            change.accept(options);
            subscription = player.client.newSubscription(channel, options, new SubscriptionEventListener() {
                @Override
                public void onPublication(Subscription subscription, PublicationEvent event) {
                    seen.add("publication", event.getOffset(), text(event.getData()));
                }

                @Override
                public void onSubscribed(Subscription subscription, SubscribedEvent event) {
                    seen.add("subscribed", event.wasRecovering(), event.getRecovered(), text(event.getData()));
                }

                @Override
                public void onSubscribing(Subscription subscription, SubscribingEvent event) {
                    seen.add("subscribing", event.getCode());
                }

                @Override
                public void onUnsubscribed(Subscription subscription, UnsubscribedEvent event) {
                    seen.add("unsubscribed", event.getCode(), event.getReason());
                }

                @Override
                public void onJoin(Subscription subscription, JoinEvent event) {
                    seen.add("join", event.getInfo().getUser(), text(event.getInfo().getConnInfo()));
                }

                @Override
                public void onLeave(Subscription subscription, LeaveEvent event) {
                    seen.add("leave", event.getInfo().getUser());
                }
            });
        }

        List<String> publications() {
            return seen.of("publication");
        }
    }

    Player player() {
        return player(options -> {});
    }

    Player player(Consumer<Options> change) {
        return new Player(port, change);
    }

    /** A client whose connection can be cut. */
    Player cuttable(Consumer<Options> change) throws Exception {
        Cutter cutter = new Cutter(port);
        Player player = new Player(cutter.port(), change);
        player.cutter = cutter;
        return player.connected();
    }

    interface Call<T> {
        void with(ResultCallback<T> callback);
    }

    /** The result of a call. */
    static <T> T result(Call<T> call) throws Exception {
        CompletableFuture<T> future = new CompletableFuture<>();
        call.with((error, value) -> {
            if (error != null) future.completeExceptionally(error);
            else future.complete(value);
        });
        return future.get(30, TimeUnit.SECONDS);
    }

    static <T> int code(Call<T> call) throws Exception {
        try {
            throw new AssertionError("answered with " + result(call));
        } catch (java.util.concurrent.ExecutionException error) {
            if (error.getCause() instanceof ReplyError reply) return reply.getCode();
            throw error;
        }
    }

    @Override
    public void close() throws Exception {
        for (AutoCloseable thing : things) thing.close();
    }
}
