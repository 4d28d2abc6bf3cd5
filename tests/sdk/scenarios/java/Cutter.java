// A TCP proxy whose connections are cut when a scenario says so.

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;

final class Cutter implements AutoCloseable {
    private final ServerSocket listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    private final int target;
    private final List<Socket> sockets = new ArrayList<>();
    private boolean open = true;

    Cutter(int target) throws IOException {
        this.target = target;
        run(this::accept);
    }

    int port() {
        return listener.getLocalPort();
    }

    /** Resets every connection, and lets none through until `heal`. */
    synchronized void cut() {
        open = false;
        for (Socket socket : sockets) {
            quietly(() -> {
                socket.setSoLinger(true, 0);
                socket.close();
            });
        }
        sockets.clear();
    }

    synchronized void heal() {
        open = true;
    }

    @Override
    public void close() {
        cut();
        quietly(listener::close);
    }

    private void accept() throws IOException {
        while (true) {
            Socket client = listener.accept();
            synchronized (this) {
                if (!open) {
                    quietly(client::close);
                    continue;
                }
                Socket server = new Socket(InetAddress.getLoopbackAddress(), target);
                sockets.add(client);
                sockets.add(server);
                run(() -> pass(client, server));
                run(() -> pass(server, client));
            }
        }
    }

    private static void pass(Socket from, Socket to) throws IOException {
        try (from; to) {
            InputStream in = from.getInputStream();
            OutputStream out = to.getOutputStream();
            byte[] buffer = new byte[16_384];
            for (int count; (count = in.read(buffer)) > 0; ) {
                out.write(buffer, 0, count);
                out.flush();
            }
        }
    }

    interface Task {
        void run() throws IOException;
    }

    private static void run(Task task) {
        Thread thread = new Thread(() -> quietly(task));
        thread.setDaemon(true);
        thread.start();
    }

    private static void quietly(Task task) {
        try {
            task.run();
        } catch (IOException ended) {
            // A socket that ended is what this class is for.
        }
    }
}
